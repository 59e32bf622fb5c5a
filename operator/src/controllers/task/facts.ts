/** Facts that a task is planned on, and what a plan consists of. */
import type {
  AssignmentKey,
  AssignmentReport,
  AutoGLMTask,
  Ledger,
  PlacementStatus,
  TaskStatus,
} from "@autoglm/api";
import type { Link } from "@autoglm/core";
import type { StatusDraftOf } from "../../store/object-store.ts";
import type { Offer } from "../board.ts";
import type { Resolution } from "./resolution.ts";

/** The node of the current placement. */
export interface PlacedNodeView {
  readonly name: string;
  readonly link: Link;
  /** Silent for longer than its patience, revoked, or no longer part of the fleet. */
  readonly isGone: boolean;
  /** RFC 3339. */
  readonly lastSeen?: string | undefined;
  /** When silence alone will make it gone or unreachable. */
  readonly recheckMs?: number | undefined;
  readonly stateId?: string | undefined;
  readonly publicKey?: string | undefined;
}

/** What the table of assignments holds for the current placement. */
export interface HeldAssignment {
  readonly state: "active" | "retiring" | "parked";
  readonly nodeKey: string | undefined;
  readonly stateId: string | undefined;
  readonly spec: string;
  readonly priority: number;
  /** Items accepted before it began. */
  readonly acceptedBefore: number;
  /** Highest chunk that the ingester has said to be committed without a gap; -1: none. */
  readonly acceptedThrough: number;
}

export interface TaskFacts {
  readonly nowMs: number;
  readonly task: AutoGLMTask;
  readonly resolution: Resolution;
  /** Of the current run. */
  readonly ledger?: Ledger | undefined;
  readonly node?: PlacedNodeView | undefined;
  /** What the node says about the current assignment. */
  readonly report?: AssignmentReport | undefined;
  readonly held?: HeldAssignment | undefined;
  /** Whether specification and input are on the bus for the current node. */
  readonly isPrepared: boolean;
  /** Digest that the specification would have now; undefined where it can't be made. */
  readonly specDigest?: string | undefined;
  readonly holdsMemory: boolean;
  readonly highestEpoch: number;
  /** Milliseconds since its status was last written by this process. */
  readonly sinceLastWriteMs: number;
  /** Least time between two writes that only count on. */
  readonly progressIntervalMs: number;
  /** Present when the stage asks for one. */
  readonly offer?: Offer | undefined;
}

export type TaskStatusDraft = StatusDraftOf<"AutoGLMTask">;
/** The status without its conditions, which every pass states anew. */
export type TaskStatusFields = Omit<TaskStatus, "conditions" | "observedGeneration">;

export type TaskAction =
  | { readonly kind: "addFinalizer"; readonly because: string }
  /** Specification and input onto the bus for the node that the status names. */
  | { readonly kind: "prepare"; readonly node: string; readonly because: string }
  | { readonly kind: "writeStatus"; readonly status: TaskStatusDraft; readonly because: string }
  | {
      readonly kind: "activate";
      readonly placement: PlacementStatus;
      readonly key: AssignmentKey;
      readonly priority: number;
      readonly because: string;
    }
  | { readonly kind: "retire"; readonly key: AssignmentKey; readonly because: string }
  | { readonly kind: "park"; readonly key: AssignmentKey; readonly because: string }
  | { readonly kind: "withdraw"; readonly because: string }
  | { readonly kind: "release"; readonly because: string }
  | { readonly kind: "forget"; readonly nodes: readonly string[]; readonly because: string }
  | { readonly kind: "removeFinalizer"; readonly because: string }
  | { readonly kind: "delete"; readonly because: string };

export interface TaskEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly action: string;
  readonly note: string;
}

export interface TaskPlan {
  /** In the order in which they are to be done; the first that fails ends the pass. */
  readonly actions: readonly TaskAction[];
  /** Recorded when the actions are done. */
  readonly events: readonly TaskEvent[];
  /** Look again after so long even if nothing happens. */
  readonly recheckMs?: number | undefined;
}
