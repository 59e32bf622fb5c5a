import { createHash } from "node:crypto";
import { decodeMessage, MAX_BODY_BYTES, workSpecSchema } from "@autoglm/api";
import { describe, expect, it } from "vitest";
import { resolved, taskWith } from "../controllers/task/plan-world.test-support.ts";
import { buildWork, type WorkFacts } from "./work-spec.ts";

function build(change: Partial<WorkFacts> = {}) {
  const [candidate] = resolved.candidates;
  if (candidate === undefined) throw new Error("the sample has a candidate");
  return buildWork({
    task: taskWith(),
    type: resolved.type,
    model: resolved.model,
    variant: candidate.variant,
    modelServerUrl: "http://models",
    ...change,
  });
}
const text = (parts: readonly { readonly bytes: Uint8Array }[]) =>
  Buffer.concat(parts.map(({ bytes }) => bytes)).toString("utf8");

describe("buildWork", () => {
  it("describes the work completely, under the digest of its bytes", () => {
    const { spec, parts } = build();
    expect(createHash("sha256").update(spec.bytes).digest("hex")).toBe(spec.digest);
    expect(decodeMessage(workSpecSchema, spec.bytes)).toMatchObject({
      task: { uid: "u", namespace: "default", name: "x" },
      model: {
        name: "m",
        variant: "int8",
        memoryBytes: 2 ** 30,
        files: [{ urls: [expect.stringMatching(/^http:\/\/models\/models\/sha256\/0+$/)] }],
      },
      input: { kind: "items", parts: parts.map(({ digest }) => digest) },
    });
    expect(JSON.parse(text(parts))).toEqual(["a", "b"]);
    expect(build().spec.digest).toBe(spec.digest);
  });

  it("splits a document into parts that the bus takes, without harming its characters", () => {
    const document = "中文".repeat(200_000);
    const { parts } = build({ task: taskWith({ input: { configMapRef: { name: "c" } } }), document });
    expect(parts).toHaveLength(3);
    for (const { bytes } of parts) expect(bytes.byteLength).toBeLessThanOrEqual(MAX_BODY_BYTES);
    expect(text(parts)).toBe(document);
  });

  it("names a file on the node and sends nothing along", () => {
    const { spec, parts } = build({
      task: taskWith({ input: { file: "x.csv" }, inputFormat: "csv", inputField: "review" }),
    });
    expect(parts).toEqual([]);
    expect(decodeMessage(workSpecSchema, spec.bytes).input).toEqual({
      kind: "file",
      path: "x.csv",
      format: "csv",
      field: "review",
    });
  });
});
