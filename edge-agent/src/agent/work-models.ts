/** The models of a specification, made runnable: files come from the store, an endpoint is asked as it is. */
import type { ItemResult, WorkModel, WorkSpec } from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import { GatedEngine, gateOptionsOf, type GateState } from "../gate/index.ts";
import type { ModelOnDisk, ModelStore } from "../models/model-store.ts";
import type { InferenceEngine, RunnableModel } from "./ports.ts";

export interface WorkModelParts {
  readonly engine: InferenceEngine;
  readonly models: ModelStore;
  readonly gate: { readonly state: GateState; readonly network: ModelOnDisk | undefined };
  readonly log: Log;
}

/** Downloads what is missing; `onDownload` is told when that begins. */
export async function findModel(
  { models }: Pick<WorkModelParts, "models">,
  model: WorkModel,
  signal: AbortSignal,
  onDownload: () => void = () => undefined,
): Promise<RunnableModel> {
  return model.runtime === "openai" ? model : models.ensure(model, signal, onDownload);
}

/** Calls `use` with the engine for a specification: a gate in front of two models where it asks for one. */
export async function withEngine(
  parts: WorkModelParts,
  spec: WorkSpec,
  run: number,
  use: (engine: InferenceEngine) => Promise<void>,
): Promise<void> {
  const { engine, gate, log } = parts;
  const { gating } = spec;
  if (gating === undefined) return use(engine);
  const gated = await GatedEngine.open(
    gateOptionsOf({ ...spec, gating }, run, {
      engine,
      preGate: gate.network,
      state: gate.state,
      log,
      find: (model, signal) => findModel(parts, model, signal),
    }),
  );
  try {
    await use(gated);
  } catch (error) {
    // Whether there is another try depends on what ended this one, not on a gate that could not be closed after it.
    await gated.close().catch((cause: unknown) => {
      log.warn({ error: cause }, "what the gate spent could not be written down");
    });
    throw error;
  }
  await gated.close();
}

/** Says which model answered where the task named another one. */
export function withStandIn(result: ItemResult, { standInFor, model }: WorkSpec): ItemResult {
  if (standInFor === undefined || result.output === undefined) return result;
  const { name, variant } = model;
  return { ...result, answeredBy: { model: name, variant, ...result.answeredBy, standInFor } };
}
