import { expect, it } from "vitest";
import { LoopbackAccess } from "./access.ts";

const TOKEN = "0123456789abcdef";
const task = { namespace: "default", name: "reviews" };

it.each([
  ["127.0.0.1", TOKEN, task, "allowed"],
  ["::1", TOKEN, task, "allowed"],
  ["::ffff:127.0.0.1", TOKEN, task, "allowed"],
  ["127.0.0.1", TOKEN, undefined, "denied"],
  ["127.0.0.1", "0123456789abcdeX", task, "unauthenticated"],
  ["127.0.0.1", "", task, "unauthenticated"],
  ["127.0.0.1", undefined, task, "unauthenticated"],
  ["192.0.2.7", TOKEN, task, "unauthenticated"],
  ["127.0.0.1.evil.example", TOKEN, task, "unauthenticated"],
] as const)("judges a caller from %s with token %s", async (remoteAddress, token, target, expected) => {
  expect(await new LoopbackAccess(TOKEN).judge({ token, remoteAddress, task: target })).toBe(expected);
});
