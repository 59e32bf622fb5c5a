/** One pass over one node: observe, plan, apply; and word to the others when its link or its standing has changed. */
import type { ReconcileOutcome } from "@autoglm/kube";
import type { ControllerContext } from "../context.ts";
import { applyNodePlan } from "./apply.ts";
import { observeNode, type RevocationsDone } from "./observe.ts";
import { planNode } from "./plan.ts";

export class NodeController {
  readonly #context: ControllerContext;
  readonly #onStandingChanged: (node: string) => void;
  readonly #revocationsDone: RevocationsDone = new Set();
  /** What placements and their tasks depend on, as it was at the last pass. */
  readonly #standings = new Map<string, string>();

  constructor(context: ControllerContext, onStandingChanged: (node: string) => void) {
    this.#context = context;
    this.#onStandingChanged = onStandingChanged;
  }

  async reconcile(name: string): Promise<ReconcileOutcome> {
    const facts = observeNode(this.#context, this.#revocationsDone, name);
    const { liveness, isGone, isReady } = facts.description;
    const standing = [liveness.link, isGone, isReady, facts.node?.status?.publicKey].join(" ");
    if (this.#standings.get(name) !== standing) {
      this.#standings.set(name, standing);
      this.#onStandingChanged(name);
    }
    if (facts.node === undefined) this.#context.writes.forget(`AutoGLMNode/${name}`);
    const plan = planNode(facts);
    await applyNodePlan(this.#context, this.#revocationsDone, name, facts.node, plan);
    return { requeueAfterMs: plan.recheckMs };
  }
}
