import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { AutoglmError, workSpecSchema } from "@autoglm/api";
import { createLogger } from "@autoglm/telemetry";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { GateState } from "../gate/index.ts";
import { ScriptedEngine } from "../gate/scripted-engine.test-support.ts";
import { ModelStore } from "../models/model-store.ts";
import { withEngine, type WorkModelParts } from "./work-models.ts";

const log = createLogger({ name: "work-models-test", level: "silent" });
const endpoint = (name: string) => ({
  name,
  variant: "hosted",
  runtime: "openai",
  contextLength: 1024,
  memoryBytes: 1,
  endpoint: { url: "http://127.0.0.1:1/v1", model: name },
});
const spec = workSpecSchema.parse({
  v: 1,
  task: { uid: "task", namespace: "default", name: "task" },
  type: "text-generation",
  model: endpoint("edge"),
  input: { kind: "items", parts: [] },
  parameters: {},
  gating: { deep: endpoint("deep"), policy: { budget: { maxEscalations: 3 } } },
});

let folder: string;
let parts: WorkModelParts;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "work-models-"));
  const modelServerUrl = "http://127.0.0.1:1";
  parts = {
    engine: new ScriptedEngine({}),
    models: new ModelStore({ folder, modelServerUrl, limitBytes: 1, log, onChange: () => undefined }),
    gate: { state: await GateState.open(path.join(folder, "gate"), log), network: undefined },
    log,
  };
  vi.spyOn(parts.gate.state, "saveSpent").mockRejectedValue(new Error("no space left on device"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

it("gives the error that ended the work, not that of a gate that could not be closed after it", async () => {
  const terminal = new AutoglmError("PromptInvalid", "scripted");
  await expect(withEngine(parts, spec, 0, () => Promise.reject(terminal))).rejects.toBe(terminal);
});

it("gives the error of the gate where the work was done", async () => {
  await expect(withEngine(parts, spec, 0, async () => undefined)).rejects.toThrow("no space left");
});
