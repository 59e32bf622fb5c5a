/**
 * One model folder on this machine, without a bus: what `autoglm models push` and `autoglm eval` run.
 *
 *     node offline.js DIRECTORY [TYPE]      items as JSON lines on stdin, answers and a report as JSON lines on stdout
 *
 *     in   {"text": …, "fields"?: …, "media"?: {"type", "base64"}, "parameters"?: …, "prompts"?: …}
 *     out  {"item": n, "output" | "error": …, "ms": …}, in order, then {"report": {taskTypes, loadMs, memoryBytes, itemMs}}
 *
 * The same engine, child processes and pipelines as on a node. Exit code 1 with {"error": {code, message}} as the last line.
 */
import { availableParallelism, totalmem } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import {
  AutoglmError,
  TASK_TYPES,
  toAutoglmError,
  workPromptSchema,
  workSpecSchema,
  type ItemResult,
  type TaskType,
} from "@autoglm/api";
import { createLogger } from "@autoglm/telemetry";
import { z } from "zod";
import { createEngine, type Engine, type ModelOnDisk } from "./engine/index.ts";
import { MEDIA_TYPES } from "./parse/items.ts";
import type { ParsedItem } from "./parse/index.ts";
import { readModelFolder } from "./models/model-folder.ts";

const lineSchema = z.strictObject({
  text: z.string().default(""),
  fields: z.record(z.string(), z.string()).optional(),
  media: z.strictObject({ type: z.enum(MEDIA_TYPES), base64: z.string() }).optional(),
  parameters: workSpecSchema.shape.parameters.optional(),
  prompts: z.array(workPromptSchema).optional(),
});
type Line = z.output<typeof lineSchema>;

const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

async function main([directory, type]: readonly string[]): Promise<void> {
  if (directory === undefined) throw new AutoglmError("InvalidOption", "name the folder of a model");
  const model = readModelFolder(path.resolve(directory));
  const engine = createEngine({
    threads: availableParallelism(),
    // To measure it is what this is for: an estimate above what there is does not keep it from trying.
    memoryBudgetBytes: Math.max(totalmem(), model.memoryBytes),
    log: createLogger({ name: "offline", level: "silent" }),
  });
  try {
    const { signal } = new AbortController();
    const { loadMs } = await engine.load(model, signal);
    const taskTypes = engine.stateOf(model)?.taskTypes ?? [];
    const items = await readLines();
    // Items with the same parameters and prompts are one request, as they are in a task.
    const results = new Map<number, ItemResult>();
    for (const group of groupsOf(items)) {
      for await (const result of inferGroup(engine, model, typeOf(type, taskTypes), group, signal)) {
        results.set(result.item, result);
      }
    }
    for (const item of items.keys()) say(results.get(item));
    await engine.measureMemory();
    const [report] = engine.reports();
    say({ report: { taskTypes, loadMs, memoryBytes: report?.memoryBytes, itemMs: report?.itemMs } });
  } finally {
    await engine.close();
  }
}

type Group = readonly { readonly item: number; readonly line: Line }[];

function groupsOf(lines: readonly Line[]): readonly Group[] {
  const groups = new Map<string, { item: number; line: Line }[]>();
  for (const [item, line] of lines.entries()) {
    const key = JSON.stringify([line.parameters, line.prompts]);
    groups.set(key, [...(groups.get(key) ?? []), { item, line }]);
  }
  return [...groups.values()];
}

function inferGroup(engine: Engine, model: ModelOnDisk, type: TaskType, group: Group, signal: AbortSignal) {
  const { parameters = {}, prompts } = group[0]?.line ?? {};
  return engine.infer({ model, type, items: itemsOf(group), parameters, prompts, signal });
}

async function* itemsOf(group: Group): AsyncGenerator<ParsedItem> {
  for (const { item, line } of group) {
    const { text, fields, media } = line;
    yield {
      item,
      text,
      ...(fields !== undefined && { fields }),
      ...(media !== undefined && { media: { type: media.type, bytes: Buffer.from(media.base64, "base64") } }),
    };
  }
}

async function readLines(): Promise<readonly Line[]> {
  const lines: Line[] = [];
  let number = 0;
  for await (const text of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    number++;
    if (text.trim() === "") continue;
    const parsed = lineSchema.safeParse(parseJson(text, number));
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new AutoglmError(
        "InvalidOption",
        `line ${number}: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`,
      );
    }
    lines.push(parsed.data);
  }
  return lines;
}

function parseJson(text: string, number: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AutoglmError("InvalidOption", `line ${number} is no JSON`, { cause });
  }
}

function typeOf(asked: string | undefined, served: readonly TaskType[]): TaskType {
  const type = TASK_TYPES.find((one) => one === asked) ?? (asked === undefined ? served[0] : undefined);
  if (type !== undefined && served.includes(type)) return type;
  throw new AutoglmError(
    "ModelDoesNotServeType",
    `the model serves ${served.join(", ") || "nothing"}, not ${asked ?? "a type"}`,
  );
}

try {
  await main(process.argv.slice(2));
  process.exitCode = 0;
} catch (cause) {
  const { code, message } = toAutoglmError(cause);
  say({ error: { code, message } });
  process.exitCode = 1;
}
