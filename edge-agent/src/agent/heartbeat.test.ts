import type { ModelReport } from "@autoglm/api";
import { expect, test } from "vitest";
import { composeHeartbeat, type HeartbeatFacts } from "./heartbeat.ts";

const report = (variant: string, sizeBytes: number): ModelReport => ({
  model: "m",
  variant,
  state: "Ready",
  downloadedBytes: sizeBytes,
  sizeBytes,
});

const factsWith = (models: ModelReport[]): HeartbeatFacts => ({
  identity: {
    node: "edge-1",
    nodeName: "edge-1",
    agentVersion: "0",
    stateId: "s",
    startedAt: "2026-01-01T00:00:00.000Z",
  },
  sentAt: new Date("2026-01-01T00:00:01Z"),
  memory: { kind: "ram", totalBytes: 0, usedByOthersBytes: 0, usedByUsBytes: 0 },
  document: { generation: 0, revision: 0 },
  outbox: { chunks: 0, bytes: 0, limitBytes: 0, full: false },
  models,
  assignments: [],
  draining: false,
});

test("reports a variant whose files were replaced once, as the newest of the two", () => {
  const { models } = composeHeartbeat(factsWith([report("fp32", 1), report("int8", 2), report("fp32", 3)]));
  expect(models).toEqual([report("fp32", 3), report("int8", 2)]);
});
