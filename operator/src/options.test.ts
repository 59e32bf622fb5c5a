import { describe, expect, it } from "vitest";
import { readOptions } from "./options.ts";

describe("readOptions", () => {
  it("fills in defaults, reads lists and numbers, and takes an empty variable for none", () => {
    const options = readOptions({
      AUTOGLM_NATS_URLS: "nats://a:4222, nats://b:4222",
      AUTOGLM_GENERATION: "3",
      AUTOGLM_ROLE: "",
    });
    expect(options).toMatchObject({
      AUTOGLM_ROLE: "all",
      AUTOGLM_NATS_URLS: ["nats://a:4222", "nats://b:4222"],
      AUTOGLM_GENERATION: 3,
      AUTOGLM_NODE_PATIENCE_SECONDS: 300,
    });
    expect(Object.isFrozen(options)).toBe(true);
  });

  it.each([
    ["AUTOGLM_ROLE", "king"],
    ["AUTOGLM_ENROL_PORT", "70000"],
    ["AUTOGLM_NODE_PATIENCE_SECONDS", "-1"],
    ["AUTOGLM_MODEL_SERVER_URL", "not a url"],
  ])("names %s when it is %j", (name, value) => {
    expect(() => readOptions({ [name]: value })).toThrow(name);
  });
});
