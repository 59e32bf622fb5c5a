/** Runs a model folder on this machine, by the same engine as on a node, in a process of its own. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  AutoglmError,
  ERROR_FAMILIES,
  itemResultSchema,
  TASK_TYPES,
  type ErrorCode,
  type ItemResult,
  type TaskType,
  type WorkPrompt,
} from "@autoglm/api";
import { execa } from "execa";
import { z } from "zod";
import { errorWithHint } from "./exit-codes.ts";

/** Beside the bundle of this program, or in the checkout. */
const PROGRAMS = ["../edge-agent/offline.js", "../../edge-agent/src/offline.ts"];

export interface OfflineItem {
  readonly text?: string | undefined;
  readonly fields?: Readonly<Record<string, string>> | undefined;
  readonly media?: { readonly type: string; readonly base64: string } | undefined;
  readonly parameters?: Readonly<Record<string, unknown>> | undefined;
  readonly prompts?: readonly WorkPrompt[] | undefined;
}

const reportSchema = z.object({
  taskTypes: z.array(z.enum(TASK_TYPES)),
  loadMs: z.number(),
  memoryBytes: z.number().optional(),
  itemMs: z.number().optional(),
});
export type OfflineReport = z.infer<typeof reportSchema>;

const lineSchema = z.union([
  z.object({ report: reportSchema }),
  z.strictObject({ error: z.object({ code: z.string(), message: z.string() }) }),
  itemResultSchema,
]);

/**
 * @returns a result for each item, in order
 * @throws AutoglmError what loading or running the model failed with; `MissingTool` without the agent's program
 */
export async function runOffline(
  directory: string,
  items: readonly OfflineItem[],
  options: { readonly type?: TaskType | undefined; readonly signal: AbortSignal },
): Promise<{ readonly results: readonly ItemResult[]; readonly report: OfflineReport }> {
  const program = PROGRAMS.map((path) => fileURLToPath(new URL(path, import.meta.url))).find(existsSync);
  if (program === undefined) {
    throw errorWithHint(
      "MissingTool",
      "this installation of the CLI has no inference program beside it",
      "run it from a checkout, or from a release that has edge-agent/ beside cli/",
    );
  }
  const { stdout, stderr } = await execa(
    process.execPath,
    [program, directory, ...(options.type === undefined ? [] : [options.type])],
    {
      input: items.map((item) => `${JSON.stringify(item)}\n`).join(""),
      reject: false,
      cancelSignal: options.signal,
      maxBuffer: 2 ** 30,
    },
  );
  options.signal.throwIfAborted();
  return readAnswers(stdout, stderr);
}

function readAnswers(stdout: string, stderr: string) {
  const results: ItemResult[] = [];
  let report: OfflineReport | undefined;
  for (const text of stdout.split("\n").filter((line) => line !== "")) {
    const line = lineSchema.parse(JSON.parse(text));
    if ("report" in line) report = line.report;
    else if ("item" in line && line.item !== undefined) results.push(line);
    else if (line.error !== undefined) throw new AutoglmError(codeOf(line.error.code), line.error.message);
  }
  if (report !== undefined) return { results, report };
  throw new AutoglmError("InferenceWorkerLost", `the inference program ended early: ${stderr.slice(-500)}`);
}

const codeOf = (code: string): ErrorCode =>
  (Object.keys(ERROR_FAMILIES) as ErrorCode[]).find((known) => known === code) ?? "Internal";
