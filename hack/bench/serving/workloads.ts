/** What is sent: the same bytes to every server that takes the Open Inference Protocol. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

export const WORKLOADS = ["tiny", "minilm", "mixed"] as const;
export type WorkloadId = (typeof WORKLOADS)[number];

export interface Workload {
  readonly id: WorkloadId;
  readonly model: "tiny" | "minilm";
  readonly title: string;
  readonly bodies: readonly string[];
  readonly requests: readonly InferenceRequest[];
  /** Outputs for the first bodies, by onnxruntime itself. */
  readonly expected: readonly (readonly number[])[];
}

const requestSchema = z.object({
  inputs: z.array(
    z.object({
      name: z.string(),
      shape: z.array(z.int()),
      datatype: z.enum(["FP32", "INT64"]),
      data: z.array(z.number()),
    }),
  ),
});
export type InferenceRequest = z.infer<typeof requestSchema>;

const TITLES: Readonly<Record<WorkloadId, string>> = {
  tiny: "a tiny model, 512 → 128 → 3, 3.8 KB of JSON a request",
  minilm: "MiniLM fp32, every text 32 tokens",
  mixed: "MiniLM fp32, texts of mixed length (log-normal, 4 to 128 tokens)",
};

/** @param folder as `peers/prepare.py` makes it */
export function readWorkload(folder: string, id: WorkloadId): Workload {
  const bodies = readFileSync(join(folder, `${id}.jsonl`), "utf8")
    .trimEnd()
    .split("\n");
  const requests = bodies.map((body) => requestSchema.parse(JSON.parse(body)));
  const expected = z
    .array(z.array(z.number()))
    .parse(JSON.parse(readFileSync(join(folder, `${id}.expected.json`), "utf8")));
  return { id, model: id === "tiny" ? "tiny" : "minilm", title: TITLES[id], bodies, requests, expected };
}

/** BentoML's own form: the arguments of the method, here one array. */
export function bentoBodies({ requests, model }: Workload): readonly string[] {
  const argument = model === "tiny" ? "x" : "ids";
  return requests.map(({ inputs }) => JSON.stringify({ [argument]: [inputs[0]?.data ?? []] }));
}

const answerSchema = z.union([
  z
    .object({ outputs: z.tuple([z.object({ data: z.array(z.number()) })]) })
    .transform(({ outputs }) => outputs[0].data),
  z.tuple([z.array(z.number())]).transform(([row]) => row),
]);
/** Batches and threads change the order of additions, no more. */
const TOLERANCE = 1e-3;

/** What is wrong with these answers, or undefined. */
export function problemWithAnswers({ expected }: Workload, answers: readonly string[]): string | undefined {
  for (const [index, outputs] of expected.entries()) {
    let parsed: unknown;
    try {
      parsed = JSON.parse(answers[index] ?? "");
    } catch {
      return `no answer to request ${index}`;
    }
    const values = answerSchema.safeParse(parsed);
    if (!values.success) return `the answer to request ${index} has another form`;
    const isSame =
      values.data.length === outputs.length &&
      outputs.every((value, at) => Math.abs(value - (values.data[at] ?? Number.NaN)) < TOLERANCE);
    if (!isSame) return `the answer to request ${index} is wrong`;
  }
  return undefined;
}
