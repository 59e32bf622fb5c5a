/** One pass over one model: observe, plan, apply. */
import type { ReconcileOutcome } from "@autoglm/kube";
import type { ControllerContext } from "../context.ts";
import { applyModelPlan } from "./apply.ts";
import { observeModel } from "./observe.ts";
import { planModel } from "./plan.ts";

export async function reconcileModel(context: ControllerContext, name: string): Promise<ReconcileOutcome> {
  const facts = observeModel(context, name);
  if (facts === undefined) {
    context.writes.forget(`AutoGLMModel/${name}`);
    return {};
  }
  const plan = planModel(facts);
  await applyModelPlan(context, facts.model, plan);
  return { requeueAfterMs: plan.recheckMs };
}
