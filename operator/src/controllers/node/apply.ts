/** Does what a node's plan says. */
import { assertNever, type AutoGLMNode } from "@autoglm/api";
import type { ControllerContext } from "../context.ts";
import { revocationKey, type RevocationsDone } from "./observe.ts";
import type { NodePlan } from "./plan.ts";

export async function applyNodePlan(
  { store, bus, writes, log }: ControllerContext,
  done: RevocationsDone,
  name: string,
  node: AutoGLMNode | undefined,
  plan: NodePlan,
): Promise<void> {
  for (const action of plan.actions) {
    log.debug({ node: name, action: action.kind, because: action.because }, "node");
    switch (action.kind) {
      case "create":
        await store.createNode(name);
        break;
      case "revoke":
        await bus.revokeNode([action.publicKey], new Date(action.before));
        done.add(revocationKey(name, action.publicKey, action.before));
        break;
      case "writeStatus": {
        if (node === undefined) break;
        const outcome = await store.writeStatus("AutoGLMNode", node, action.status);
        if (outcome === "written") writes.note(`AutoGLMNode/${name}`);
        break;
      }
      default:
        assertNever(action);
    }
  }
}
