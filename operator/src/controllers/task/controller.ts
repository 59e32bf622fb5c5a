/** One pass over one task: observe, plan, apply. */
import type { ReconcileOutcome } from "@autoglm/kube";
import type { ControllerContext } from "../context.ts";
import { applyTaskPlan } from "./apply.ts";
import { observeTask } from "./observe.ts";
import { planTask } from "./plan.ts";

/** An event should have brought it back long before. */
const STALE_RECHECK_MS = 1000;

export async function reconcileTask(context: ControllerContext, key: string): Promise<ReconcileOutcome> {
  const observation = await observeTask(context, key);
  if (observation === undefined) {
    const { store, assignments, board, writes } = context;
    board.release(key);
    writes.forget(`AutoGLMTask/${key}`);
    assignments.keepTasks(new Set(store.list("AutoGLMTask").map(({ metadata }) => metadata.uid)));
    return {};
  }
  const plan = planTask(observation.facts);
  const isDone = await applyTaskPlan(context, observation, plan);
  return { requeueAfterMs: isDone ? plan.recheckMs : STALE_RECHECK_MS };
}
