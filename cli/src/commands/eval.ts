/** `autoglm eval --gold FILE`: how good a model is on items whose right answers are known. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { TaskType } from "@autoglm/api";
import { judgeQuality, languageOf, type Estimate, type Quality } from "@autoglm/core";
import { EXIT, usageError, type ExitCode } from "../exit-codes.ts";
import { parseGold, type GoldItem } from "../gold.ts";
import { say, type CliIo } from "../io.ts";
import { runOffline } from "../offline.ts";
import { readPrompts, type PromptChoice } from "../prompts.ts";

export interface EvalOptions extends PromptChoice {
  readonly gold: string;
  readonly type?: TaskType;
  readonly labels?: string;
  readonly floor?: number;
  readonly output?: "json";
  readonly signal: AbortSignal;
}

export async function evaluate(io: CliIo, directory: string, options: EvalOptions): Promise<ExitCode> {
  const content = await readFile(options.gold, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw usageError(`${options.gold} can't be read: ${cause.message}`);
  });
  const type = options.type ?? (await onlyType(directory, options.signal));
  const items = parseGold(options.gold, content, type);
  const unique = new Set(items.map(keyOf)).size;
  if (unique < items.length) {
    say(
      io,
      `${items.length - unique} of ${items.length} items are there twice: a figure over them says less than it seems`,
    );
  }
  const labels = options.labels?.split(",").map((one) => one.trim());
  const parameters = labels && { candidateLabels: labels };
  const language = languageOf(items.map(({ text }) => text));
  const prompts = await readPrompts(io, options, { taskType: type, labels, language });
  say(io, `${items.length} items of ${type} …`);
  const { results } = await runOffline(
    directory,
    await Promise.all(
      items.map(async (item) => ({ ...(await contentOf(options.gold, item)), parameters, prompts })),
    ),
    { type, signal: options.signal },
  );
  const quality = judgeQuality(
    type,
    items.map(({ gold }, index) => ({ gold, output: results[index]?.output })),
  );
  if (quality === undefined) throw usageError(`answers of ${type} can't be judged by gold`);
  const errors = results.filter(({ error }) => error !== undefined).length;
  io.stdout.write(
    options.output === "json"
      ? `${JSON.stringify({ type, items: items.length, errors, ...quality })}\n`
      : textOf(type, items.length, errors, quality),
  );
  const isBelow = options.floor !== undefined && quality.estimate.value < options.floor;
  if (isBelow) say(io, `below the floor of ${options.floor}`);
  return isBelow ? EXIT.taskFailed : EXIT.ok;
}

/** The type of a model that has one alone: the gold's form depends on it. */
async function onlyType(directory: string, signal: AbortSignal): Promise<TaskType> {
  const { report } = await runOffline(directory, [], { signal });
  const [type, ...others] = report.taskTypes;
  if (type !== undefined && others.length === 0) return type;
  throw usageError(`the model serves ${report.taskTypes.join(", ")}: say which with --type`);
}

const keyOf = ({ text, fields, file }: GoldItem) => JSON.stringify([text, fields, file]);

async function contentOf(gold: string, { text, fields, file }: GoldItem) {
  if (file === undefined) return { text, fields };
  const bytes = await readFile(path.join(path.dirname(gold), file));
  const extension = path.extname(file).slice(1).toLowerCase();
  const type = extension === "wav" ? "audio/wav" : `image/${extension === "jpg" ? "jpeg" : extension}`;
  return { text, fields, media: { type, base64: bytes.toString("base64") } };
}

function textOf(type: TaskType, items: number, errors: number, quality: Quality): string {
  const { measure, estimate, baseline, calibrationError } = quality;
  const lines = [
    `type      ${type}`,
    `items     ${items}${errors > 0 ? `, ${errors} of them errors` : ""}`,
    `${measure}  ${figure(estimate)}`,
    ...(baseline === undefined ? [] : [`${baseline.name}  ${figure(baseline.estimate)}`]),
    ...(calibrationError === undefined ? [] : [`calibration error  ${calibrationError.toFixed(4)}`]),
  ];
  return `${lines.join("\n")}\n`;
}

const figure = ({ value, low, high }: Estimate) =>
  `${value.toFixed(4)}  (95 % ${low.toFixed(4)} to ${high.toFixed(4)})`;
