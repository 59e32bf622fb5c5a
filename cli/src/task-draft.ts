/** Makes a task from flags and texts. */
import { readFile, stat } from "node:fs/promises";
import { basename, extname } from "node:path";
import {
  API_VERSION,
  checkTaskSpec,
  MAX_INLINE_ITEM_CHARACTERS,
  MAX_INLINE_ITEMS,
  type TaskSpecInput,
  taskSpecSchema,
} from "@autoglm/api";
import type { ConfigMap, KubeObject } from "@autoglm/kube";
import { usageError } from "./exit-codes.ts";

export interface DraftOptions {
  readonly name?: string;
  readonly type?: string;
  readonly model?: string;
  readonly file?: string;
  readonly nodeFile?: string;
  readonly field?: string;
  readonly strategy?: string;
  readonly tier?: string;
  readonly priority?: number;
}

export interface TaskDraft {
  readonly task: KubeObject & { readonly spec: TaskSpecInput };
  /** Holds the input where it does not fit into the task; becomes the task's own. */
  readonly input?: ConfigMap;
}

/** What goes into the task itself; the rest of etcd's 1.5 MiB is for status. */
const MAX_INLINE_BYTES = 256 * 1024;
/** A ConfigMap takes 1 MiB, names and all. */
const MAX_CONFIG_MAP_BYTES = 1000 * 1024;
const DOCUMENTS = [".csv", ".tsv", ".json", ".jsonl", ".ndjson"];

/**
 * @param texts one item each
 * @param suffix makes the name unique, where none is given
 * @throws AutoglmError of usage
 */
export async function draftTask(options: {
  readonly flags: DraftOptions;
  readonly texts: readonly string[];
  readonly namespace: string;
  readonly suffix: string;
}): Promise<TaskDraft> {
  const { flags, texts, namespace, suffix } = options;
  const sources = [texts.length > 0, flags.file !== undefined, flags.nodeFile !== undefined];
  if (sources.filter(Boolean).length !== 1) {
    throw usageError("give the input once: as texts, with --file, or with --node-file");
  }
  const name = flags.name ?? `${flags.type ?? flags.model ?? "task"}-${suffix}`.toLowerCase();
  const { input, document } = await draftInput(flags, texts);
  const configMap = `${name}-input`;
  const spec: unknown = {
    ...(flags.type !== undefined && { type: flags.type }),
    ...(flags.model !== undefined && { model: flags.model }),
    ...(flags.field !== undefined && { inputField: flags.field }),
    ...(flags.priority !== undefined && { priority: flags.priority }),
    ...((flags.strategy ?? flags.tier) !== undefined && {
      placement: {
        ...(flags.strategy !== undefined && { strategy: flags.strategy }),
        ...(flags.tier !== undefined && { tier: flags.tier }),
      },
    }),
    input: input ?? { configMapRef: { name: configMap } },
  };
  checkSpec(spec);
  return {
    task: {
      apiVersion: API_VERSION,
      kind: "AutoGLMTask",
      metadata: { name, namespace },
      spec: spec as TaskSpecInput,
    },
    ...(document && {
      input: {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: configMap, namespace },
        data: { [document.key]: document.text },
      },
    }),
  };
}

function checkSpec(spec: unknown): void {
  const { data, error } = taskSpecSchema.safeParse(spec);
  const [issue] = error?.issues ?? [];
  if (issue !== undefined) throw usageError(`spec.${issue.path.join(".")}: ${issue.message}`);
  const [problem] = data === undefined ? [] : checkTaskSpec(data);
  if (problem !== undefined) throw usageError(`${problem.field}: ${problem.message}`);
}

interface DraftInput {
  readonly input?: TaskSpecInput["input"];
  readonly document?: { readonly key: string; readonly text: string };
}

async function draftInput(flags: DraftOptions, texts: readonly string[]): Promise<DraftInput> {
  if (flags.nodeFile !== undefined) return { input: { file: flags.nodeFile } };
  if (flags.file === undefined) {
    if (texts.every((text) => text.trim() === "")) throw usageError("there is no text in the arguments");
    return { input: { inline: [...texts] } };
  }
  const text = await readInput(flags.file);
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length === 0) throw usageError(`${flags.file} has no text`);
  if (!DOCUMENTS.includes(extname(flags.file).toLowerCase()) && fitsInline(text, lines)) {
    return { input: { inline: lines } };
  }
  return { document: { key: basename(flags.file).replaceAll(/[^-._A-Za-z0-9]/g, "_"), text } };
}

function fitsInline(text: string, lines: readonly string[]): boolean {
  return (
    Buffer.byteLength(text) <= MAX_INLINE_BYTES &&
    lines.length <= MAX_INLINE_ITEMS &&
    lines.every((line) => line.length <= MAX_INLINE_ITEM_CHARACTERS)
  );
}

async function readInput(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_CONFIG_MAP_BYTES) {
      throw usageError(
        `${path} has ${size} bytes; more than ${MAX_CONFIG_MAP_BYTES} do not go through the Kubernetes API`,
        "put it below the data root of the node and name it with --node-file",
      );
    }
    return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path));
  } catch (cause) {
    if (cause instanceof TypeError) {
      throw usageError(
        `${path} is not UTF-8`,
        "convert it, or put it on the node and name it with --node-file",
      );
    }
    if (cause instanceof Error && "syscall" in cause)
      throw usageError(`${path} can't be read: ${cause.message}`);
    throw cause;
  }
}
