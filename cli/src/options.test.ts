import { expect, it } from "vitest";
import { readEnvironment } from "./options.ts";

const read = (env: Record<string, string>, program = "/usr/bin/autoglm", isTTY = true) =>
  readEnvironment({ env, argv: ["node", program], stderr: { isTTY } });

it("has colour on a terminal, and not with NO_COLOR or CI", () => {
  expect(read({}).hasColour).toBe(true);
  expect(read({ NO_COLOR: "" }).hasColour).toBe(true);
  expect(read({ NO_COLOR: "1" }).hasColour).toBe(false);
  expect(read({ CI: "true" }).hasColour).toBe(false);
  expect(read({}, "autoglm", false).hasColour).toBe(false);
});

it("knows by which name it was started", () => {
  expect(read({}).programName).toBe("autoglm");
  expect(read({}, "/home/x/bin/kubectl-autoglm").programName).toBe("kubectl autoglm");
});
