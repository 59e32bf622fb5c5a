/** Gathers every fact about one model into one value; undefined when there is no such model. */
import type { ControllerContext } from "../context.ts";
import type { ModelFacts } from "./plan.ts";

export function observeModel(context: ControllerContext, name: string): ModelFacts | undefined {
  const { store, heartbeats, writes, settings } = context;
  const model = store.get("AutoGLMModel", name);
  if (model === undefined) return undefined;
  return {
    model,
    heartbeats: heartbeats.list(),
    nodes: store.list("AutoGLMNode").map(({ metadata }) => metadata.name),
    sinceLastWriteMs: writes.sinceMs(`AutoGLMModel/${name}`),
    statusIntervalMs: settings.statusIntervalMs,
  };
}
