/** Does what a task's plan says, in its order; the first that fails ends the pass, and the queue runs it again. */
import { assertNever, AutoglmError, parseQuantityBytes, type AutoGLMTask } from "@autoglm/api";
import { NO_ITEMS } from "@autoglm/core";
import type { Work } from "../../dispatch/work-spec.ts";
import { keyOfObject } from "../../store/object-store.ts";
import type { ControllerContext } from "../context.ts";
import type { TaskAction, TaskFacts, TaskPlan, TaskStatusDraft } from "./facts.ts";
import { currentWork, type TaskObservation } from "./observe.ts";

const FORGET_TIMEOUT_MS = 3000;

/** False when the object has moved on: what is left of the plan no longer holds, and an event brings the task back. */
export async function applyTaskPlan(
  context: ControllerContext,
  observation: TaskObservation,
  plan: TaskPlan,
): Promise<boolean> {
  const { facts, document } = observation;
  const status = plan.actions.find((action) => action.kind === "writeStatus")?.status;
  const chosen = { ...facts.task.status, ...status };
  let task: AutoGLMTask = facts.task;
  let work: Work | undefined;
  const workNow = (): Work => {
    work ??= currentWork(context, task, document, chosen);
    if (work !== undefined) return work;
    throw new AutoglmError("NotFound", "the model or the input of the task is no longer there");
  };
  for (const action of plan.actions) {
    context.log.debug({ task: keyOfObject(task), action: action.kind, because: action.because }, "task");
    switch (action.kind) {
      case "addFinalizer": {
        const finalized = await context.store.setFinalizer(task, true);
        if (finalized === undefined) return false;
        task = finalized;
        break;
      }
      case "prepare":
        await context.assignments.prepare(
          identityOf(context, action.node).nodeId,
          workNow(),
          task.metadata.uid,
        );
        break;
      case "writeStatus":
        if (!(await writeStatus(context, task, action.status))) return false;
        break;
      case "activate":
        activate(context, facts, action, workNow);
        break;
      case "retire":
        context.assignments.retire(action.key);
        break;
      case "park":
        context.assignments.park(action.key);
        break;
      case "withdraw":
        context.assignments.withdraw(task.metadata.uid, task.status?.run ?? 0);
        break;
      case "release":
        context.board.release(keyOfObject(task));
        break;
      case "forget":
        await forget(context, task, action.nodes, currentWork(context, task, document));
        break;
      case "removeFinalizer":
        await context.store.setFinalizer(task, false);
        context.board.release(keyOfObject(task));
        break;
      case "delete":
        await context.store.deleteTask(task);
        break;
      default:
        assertNever(action);
    }
  }
  for (const event of plan.events) context.store.recordEvent({ regarding: task, ...event });
  return true;
}

async function writeStatus(
  context: ControllerContext,
  task: AutoGLMTask,
  status: TaskStatusDraft,
): Promise<boolean> {
  const outcome = await context.store.writeStatus("AutoGLMTask", task, status);
  if (outcome === "written") context.writes.note(`AutoGLMTask/${keyOfObject(task)}`);
  return outcome === "written" || outcome === "unchanged";
}

/** What the node was given under this key already stays as it is, but for the priority. */
function activate(
  { assignments, ledgers, heartbeats, signGrant, store }: ControllerContext,
  { task }: TaskFacts,
  { key, placement, priority }: Extract<TaskAction, { kind: "activate" }>,
  workNow: () => Work,
): void {
  const { nodeId, publicKey } = identityOf({ store }, placement.node);
  const existing = assignments.get(key);
  const isSameKey = existing?.nodeKey === publicKey;
  const ledger = ledgers.get(key.task, key.run);
  const accepted = ledger?.assignments.find((one) => one.epoch === key.epoch && one.shard === key.shard);
  const { namespace = "", name } = task.metadata;
  assignments.activate({
    key,
    nodeId,
    nodeKey: publicKey,
    spec: existing?.spec ?? workNow().spec.digest,
    grant:
      existing !== undefined && isSameKey
        ? existing.grant
        : signGrant({ ...key, node: nodeId, nodeKey: publicKey, namespace, name }),
    priority,
    reservedBytes: existing?.reservedBytes ?? parseQuantityBytes(placement.reservedMemory),
    acceptedThrough: Math.max(accepted?.acceptedThrough ?? -1, existing?.acceptedThrough ?? -1),
    acceptedItems: existing?.acceptedItems ?? (key.epoch > 1 ? ledger?.acceptedItems : undefined) ?? NO_ITEMS,
    stateId: existing?.stateId ?? heartbeats.get(placement.node)?.heartbeat.stateId,
  });
}

/** @throws AutoglmError `NotFound` for a node that is not enrolled (any more) */
function identityOf(
  { store }: Pick<ControllerContext, "store">,
  name: string,
): { readonly nodeId: string; readonly publicKey: string } {
  const { nodeId, publicKey } = store.get("AutoGLMNode", name)?.status ?? {};
  if (nodeId !== undefined && publicKey !== undefined) return { nodeId, publicKey };
  throw new AutoglmError("NotFound", `node ${name} is not enrolled`);
}

async function forget(
  { assignments, bus, ledgers, store }: ControllerContext,
  task: AutoGLMTask,
  nodes: readonly string[],
  work: Work | undefined,
): Promise<void> {
  const { uid } = task.metadata;
  const nodeIds = nodes.flatMap((name) => store.get("AutoGLMNode", name)?.status?.nodeId ?? []);
  const digests = work === undefined ? [] : [work.spec, ...work.parts].map(({ digest }) => digest);
  await assignments.forget(uid, nodeIds, digests);
  await bus.forget(uid, { timeoutMs: FORGET_TIMEOUT_MS });
  await bus.deleteLedger(uid);
  ledgers.forget(uid);
}
