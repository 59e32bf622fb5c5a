import { expect, test } from "vitest";
import { parseAgentOptions } from "./options.ts";

test("has defaults for everything that one can have", () => {
  expect(parseAgentOptions({})).toMatchObject({
    stateDir: "/var/lib/autoglm",
    heartbeatMs: 5000,
    resyncMs: 30_000,
    outboxLimitBytes: 2 ** 30,
    executionProviders: ["cpu"],
    performanceHint: "throughput",
    enrolUrl: undefined,
    memoryBudgetBytes: undefined,
  });
});

test("reads amounts, seconds and lists, and takes an empty variable for one that is not set", () => {
  const options = parseAgentOptions({
    AUTOGLM_MEMORY_BUDGET: "6Gi",
    AUTOGLM_HEARTBEAT_SECONDS: "0.25",
    AUTOGLM_EXECUTION_PROVIDERS: "cuda, cpu",
    AUTOGLM_LOCATION: "",
    AUTOGLM_THREADS: "3",
    PATH: "/bin",
  });
  expect(options).toMatchObject({
    memoryBudgetBytes: 6 * 2 ** 30,
    heartbeatMs: 250,
    executionProviders: ["cuda", "cpu"],
    location: undefined,
    threads: 3,
  });
  expect(Object.isFrozen(options)).toBe(true);
});

test.each([
  ["AUTOGLM_MEMORY_BUDGET", "lots", "512Mi"],
  ["AUTOGLM_ENROL_URL", "operator:8444", "http://"],
  ["AUTOGLM_ENROL_TOKEN", "short", "16"],
  ["AUTOGLM_LOCATION", "moon", "edge or cloud"],
  ["AUTOGLM_NODE_NAME", "../nodes", "Kubernetes"],
  ["AUTOGLM_POOL", "a'; reboot; '", "Kubernetes"],
  ["AUTOGLM_HEALTH_PORT", "99999", "65535"],
  ["AUTOGLM_HEARTBEAT_SECONDS", "often", "seconds"],
  ["AUTOGLM_EXECUTION_PROVIDERS", "tpu", "cuda"],
  ["AUTOGLM_PERFORMANCE_HINT", "fast", "throughput or latency"],
  ["AUTOGLM_LOG_LEVEL", "loud", "debug"],
])("says what is wrong with %s=%s", (name, value, mend) => {
  expect(() => parseAgentOptions({ [name]: value })).toThrow(
    expect.objectContaining({ code: "InvalidOption", message: expect.stringContaining(name) }),
  );
  expect(() => parseAgentOptions({ [name]: value })).toThrow(mend);
});

test("never repeats a token in its message", () => {
  expect(() => parseAgentOptions({ AUTOGLM_ENROL_TOKEN: "s3cret" })).not.toThrow("s3cret");
});
