/** Does what a model's plan says. */
import type { AutoGLMModel } from "@autoglm/api";
import type { ControllerContext } from "../context.ts";
import type { ModelPlan } from "./plan.ts";

export async function applyModelPlan(
  { store, writes, log }: ControllerContext,
  model: AutoGLMModel,
  plan: ModelPlan,
): Promise<void> {
  const { name } = model.metadata;
  for (const { kind, status, because } of plan.actions) {
    log.debug({ model: name, action: kind, because }, "model");
    const outcome = await store.writeStatus("AutoGLMModel", model, status);
    if (outcome === "written") writes.note(`AutoGLMModel/${name}`);
  }
}
