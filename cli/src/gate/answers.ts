/** Runs the models of a pair on gold rows here, by the engine that agents have. */
import { existsSync } from "node:fs";
import path from "node:path";
import type { ItemResult, TaskType } from "@autoglm/api";
import { answersAgree, answerSignalOf, gateFeaturesOf, type GateEvalRow } from "@autoglm/core";
import { usageError } from "../exit-codes.ts";
import { runOffline } from "../offline.ts";
import type { GoldRow } from "./gold.ts";

export interface PairFolders {
  readonly edge: string;
  readonly deep: string;
  /** undefined: no pre-gate. */
  readonly gate: string | undefined;
}

export interface EvalRow extends GateEvalRow {
  readonly split?: GoldRow["split"];
}

/** Both models' answers to every row, and what the pre-gate says of it. */
export async function answerRows(
  rows: readonly GoldRow[],
  folders: PairFolders,
  { type, signal }: { readonly type: TaskType; readonly signal: AbortSignal },
): Promise<EvalRow[]> {
  const edge = await ask(folders.edge, rows, { type, signal });
  const deep = await ask(folders.deep, rows, { type, signal });
  const hard =
    folders.gate === undefined
      ? []
      : await ask(folders.gate, rows, { type: "tensor", fields: { taskType: type }, signal });
  return rows.map((row, index) => rowOf(row, type, edge[index], deep[index], hard[index]));
}

async function ask(
  folder: string,
  rows: readonly GoldRow[],
  options: {
    readonly type: TaskType;
    readonly fields?: Readonly<Record<string, string>>;
    readonly signal: AbortSignal;
  },
): Promise<readonly ItemResult[]> {
  const { type, fields, signal } = options;
  if (!existsSync(path.join(folder, "model.onnx"))) {
    throw usageError(
      `${folder} holds no model.onnx`,
      "a model is a folder with model.onnx and pipeline.json",
    );
  }
  const { results } = await runOffline(
    folder,
    rows.map(({ text }) => ({ text, fields })),
    { type, signal },
  );
  return results;
}

function rowOf(
  { text, label, split }: GoldRow,
  type: TaskType,
  edge: ItemResult | undefined,
  deep: ItemResult | undefined,
  hard: ItemResult | undefined,
): EvalRow {
  const { score, margin } = edge?.output ? answerSignalOf(edge.output) : { score: null, margin: null };
  const pHard = hard?.output?.type === "tensor" ? hard.output.outputs[0]?.data[0] : undefined;
  return {
    features: gateFeaturesOf(text, type),
    pHard: typeof pHard === "number" ? pHard : null,
    score,
    margin,
    edgeFailed: edge?.error !== undefined,
    agrees: edge?.output && deep?.output ? answersAgree(edge.output, deep.output) : null,
    edgeIsRight: firstLabel(edge) === label,
    deepIsRight: firstLabel(deep) === label,
    ...(split !== undefined && { split }),
  };
}

function firstLabel(result: ItemResult | undefined): string | undefined {
  return result?.output && "labels" in result.output ? result.output.labels[0]?.label : undefined;
}
