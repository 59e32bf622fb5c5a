/** Gathers every fact about one node into one value. */
import { describeNodeNamed, type ControllerContext } from "../context.ts";
import type { NodeFacts } from "./plan.ts";

/** Names and revocation times that this process has told the bus of. */
export type RevocationsDone = Set<string>;
export const revocationKey = (node: string, publicKey: string, before: string) =>
  `${node} ${publicKey} ${before}`;

export function observeNode(context: ControllerContext, done: RevocationsDone, name: string): NodeFacts {
  const { store, heartbeats, board, writes, settings } = context;
  const node = store.get("AutoGLMNode", name);
  const { revokedBefore } = node?.spec ?? {};
  const publicKey = node?.status?.publicKey;
  return {
    node,
    isKubernetesNode: store.get("Node", name) !== undefined,
    heartbeat: heartbeats.get(name),
    description: describeNodeNamed(context, name),
    reservedBytes: board.reservedOn(name),
    assignments: board.holdersOn(name).length,
    isRevocationDone: done.has(revocationKey(name, publicKey ?? "", revokedBefore ?? "")),
    sinceLastWriteMs: writes.sinceMs(`AutoGLMNode/${name}`),
    statusIntervalMs: settings.statusIntervalMs,
  };
}
