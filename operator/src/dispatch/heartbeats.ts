/**
 * What each node last said, and when, by a monotonic clock: a wall clock that is set must not kill a fleet.
 *
 * Amounts of memory are steadied here (see `steadyBytes`), so that everything behind decides on numbers that move only
 * when it matters. A heartbeat whose name does not belong to its node id is dropped: ids are what the bus has proved.
 */
import { isDeepStrictEqual } from "node:util";
import type { Heartbeat } from "@autoglm/api";
import { nodeIdOf, steadyBytes } from "@autoglm/core";

export interface NodeHeartbeat {
  readonly heartbeat: Heartbeat;
  /** Monotonic milliseconds. */
  readonly receivedAtMs: number;
  /** RFC 3339. */
  readonly receivedAt: string;
  readonly usedByOthersBytes: number;
  readonly usedByUsBytes: number;
}

export interface HeartbeatChange {
  readonly node: string;
  readonly nodeId: string;
  /** Something that the node's status or a placement depends on. */
  readonly isNodeChanged: boolean;
  /** uids of tasks about whose assignment it says something new. */
  readonly tasks: readonly string[];
  /** Names of models about which it says something new. */
  readonly models: readonly string[];
}

export interface HeartbeatTrackerOptions {
  readonly monotonicNowMs: () => number;
  readonly nowMs: () => number;
  readonly heartbeatTimeoutMs: number;
}

const MEMORY_STEP_BYTES = 128 * 2 ** 20;

export class HeartbeatTracker {
  readonly #options: HeartbeatTrackerOptions;
  /** By node name. */
  readonly #nodes = new Map<string, NodeHeartbeat>();
  /** By node id. */
  readonly #names = new Map<string, string>();
  readonly #startedAtMs: number;

  constructor(options: HeartbeatTrackerOptions) {
    this.#options = options;
    this.#startedAtMs = options.monotonicNowMs();
  }

  /** Undefined for one that is dropped. */
  accept(heartbeat: Heartbeat): HeartbeatChange | undefined {
    if (nodeIdOf(heartbeat.nodeName) !== heartbeat.node) return undefined;
    const { monotonicNowMs, nowMs, heartbeatTimeoutMs } = this.#options;
    const previous = this.#nodes.get(heartbeat.nodeName);
    const { usedByOthersBytes, usedByUsBytes } = heartbeat.memory;
    const next: NodeHeartbeat = {
      heartbeat,
      receivedAtMs: monotonicNowMs(),
      receivedAt: new Date(nowMs()).toISOString(),
      usedByOthersBytes: steadyBytes(usedByOthersBytes, previous?.usedByOthersBytes, MEMORY_STEP_BYTES),
      usedByUsBytes: steadyBytes(usedByUsBytes, previous?.usedByUsBytes, MEMORY_STEP_BYTES),
    };
    this.#nodes.set(heartbeat.nodeName, next);
    this.#names.set(heartbeat.node, heartbeat.nodeName);
    const wasSilent =
      previous === undefined || next.receivedAtMs - previous.receivedAtMs >= heartbeatTimeoutMs;
    const before = previous?.heartbeat;
    const stateChanged = before !== undefined && before.stateId !== heartbeat.stateId;
    const isNodeChanged = wasSilent || !isDeepStrictEqual(nodeFacts(previous), nodeFacts(next));
    return {
      node: heartbeat.nodeName,
      nodeId: heartbeat.node,
      isNodeChanged,
      tasks:
        wasSilent || stateChanged
          ? unique([...(before?.assignments ?? []), ...heartbeat.assignments].map(({ task }) => task))
          : changed(before?.assignments ?? [], heartbeat.assignments, ({ task }) => task),
      models: changed(before?.models ?? [], heartbeat.models, ({ model }) => model),
    };
  }

  get(node: string): NodeHeartbeat | undefined {
    return this.#nodes.get(node);
  }

  byId(nodeId: string): NodeHeartbeat | undefined {
    return this.#nodes.get(this.#names.get(nodeId) ?? "");
  }

  list(): readonly NodeHeartbeat[] {
    return [...this.#nodes.values()];
  }

  silentForMs(node: string): number | undefined {
    const last = this.#nodes.get(node);
    return last === undefined ? undefined : this.#options.monotonicNowMs() - last.receivedAtMs;
  }

  /** Names of the keys for endpoints that nodes hold; nodes that were silent for too long don't count. */
  endpointKeys(): ReadonlySet<string> {
    const heard = this.list().filter(({ heartbeat }) => {
      return (this.silentForMs(heartbeat.nodeName) ?? Infinity) < this.#options.heartbeatTimeoutMs;
    });
    return new Set(heard.flatMap(({ heartbeat }) => heartbeat.endpointKeys ?? []).sort());
  }

  listeningForMs(): number {
    return this.#options.monotonicNowMs() - this.#startedAtMs;
  }
}

/** What the node's status and placements are made from. */
function nodeFacts(node: NodeHeartbeat | undefined): unknown {
  if (node === undefined) return undefined;
  const { heartbeat, usedByOthersBytes, usedByUsBytes } = node;
  const { agentVersion, stateId, location, pool, probedTier, draining, memory, models, endpointKeys } =
    heartbeat;
  const held = models.map(({ model, variant, state }) => ({ model, variant, state }));
  const { kind, totalBytes } = memory;
  return {
    agentVersion,
    stateId,
    location,
    pool,
    probedTier,
    draining,
    endpointKeys,
    kind,
    totalBytes,
    usedByOthersBytes,
    usedByUsBytes,
    held,
  };
}

function changed<T>(
  before: readonly T[],
  after: readonly T[],
  nameOf: (report: T) => string,
): readonly string[] {
  const isIn = (list: readonly T[], report: T) => list.some((one) => isDeepStrictEqual(one, report));
  const differing = [
    ...after.filter((one) => !isIn(before, one)),
    ...before.filter((one) => !isIn(after, one)),
  ];
  return unique(differing.map(nameOf));
}

const unique = (names: readonly string[]) => [...new Set(names)];
