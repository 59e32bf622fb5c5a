/** What every controller works with. Built once, in operator.ts. */
import type { Grant } from "@autoglm/api";
import type { PromptCandidate } from "@autoglm/core";
import type { Log } from "@autoglm/kube";
import type { AssignmentTable } from "../dispatch/assignments.ts";
import type { HeartbeatTracker } from "../dispatch/heartbeats.ts";
import type { LedgerCache } from "../dispatch/ledgers.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { PlacementBoard } from "./board.ts";
import { describeNode, type NodeDescription } from "./node/description.ts";

/** What the controllers ask of the bus, beyond the table of assignments. */
export interface ControllerBus {
  deleteLedger(task: string): Promise<void>;
  forget(task: string, options: { readonly timeoutMs: number }): Promise<void>;
  revokeNode(publicKeys: readonly string[], at: Date): Promise<void>;
}

export interface ControllerSettings {
  readonly heartbeatTimeoutMs: number;
  /** How long a silent node keeps its work, unless its autonomy duration is longer. */
  readonly patienceMs: number;
  /** Least time between two status writes of an object that only count on. */
  readonly statusIntervalMs: number;
  /** Where agents get models by digest. */
  readonly modelServerUrl: string;
}

export interface ControllerContext {
  readonly store: ObjectStore;
  readonly bus: ControllerBus;
  readonly board: PlacementBoard;
  readonly assignments: AssignmentTable;
  readonly heartbeats: HeartbeatTracker;
  readonly ledgers: LedgerCache;
  readonly writes: WriteTimes;
  /** The built-in prompts. */
  readonly library: readonly PromptCandidate[];
  readonly settings: ControllerSettings;
  readonly signGrant: (grant: Grant) => string;
  /** Milliseconds since the epoch. */
  readonly nowMs: () => number;
  readonly log: Log;
}

/** When this process last wrote each object's status. */
export class WriteTimes {
  readonly #nowMs: () => number;
  readonly #atMs = new Map<string, number>();

  constructor(monotonicNowMs: () => number) {
    this.#nowMs = monotonicNowMs;
  }

  note(object: string): void {
    this.#atMs.set(object, this.#nowMs());
  }

  sinceMs(object: string): number {
    return this.#nowMs() - (this.#atMs.get(object) ?? -Infinity);
  }

  forget(object: string): void {
    this.#atMs.delete(object);
  }
}

/** Everything known about a node of this name, whether or not there is an object of it. */
export function describeNodeNamed(
  { store, heartbeats, settings }: Pick<ControllerContext, "store" | "heartbeats" | "settings">,
  name: string,
  poolTypes: Readonly<Record<string, string>> = poolTypesOf(store),
): NodeDescription {
  return describeNode({
    name,
    kubeNode: store.get("Node", name),
    autoglmNode: store.get("AutoGLMNode", name),
    heartbeat: heartbeats.get(name),
    silentForMs: heartbeats.silentForMs(name),
    listeningForMs: heartbeats.listeningForMs(),
    poolTypes,
    heartbeatTimeoutMs: settings.heartbeatTimeoutMs,
    patienceMs: settings.patienceMs,
  });
}

export function poolTypesOf(store: ObjectStore): Readonly<Record<string, string>> {
  const pools = store
    .list("NodePool")
    .flatMap(({ metadata, spec }) => (spec?.type === undefined ? [] : [[metadata.name, spec.type] as const]));
  return Object.fromEntries(pools);
}

/**
 * Names of the keys for endpoints that nodes hold; undefined while a node that was not heard since the start may hold
 * one: nobody is to stand in for a model because the operator was restarted.
 */
export function heldEndpointKeys({
  store,
  heartbeats,
  settings,
}: Pick<ControllerContext, "store" | "heartbeats" | "settings">): ReadonlySet<string> | undefined {
  const hasHeardAll =
    heartbeats.listeningForMs() > settings.heartbeatTimeoutMs ||
    store
      .list("AutoGLMNode")
      .every(
        ({ metadata, status }) =>
          status?.publicKey === undefined || heartbeats.get(metadata.name) !== undefined,
      );
  return hasHeardAll ? heartbeats.endpointKeys() : undefined;
}
