/** Conditions as metav1 has them: what a plan says, and when each last flipped. Pure. */

export type ConditionStatus = "True" | "False" | "Unknown";

/** A condition as a plan states it, without its time. */
export interface ConditionDraft {
  readonly type: string;
  readonly status: ConditionStatus;
  /** CamelCase, from a documented list. */
  readonly reason: string;
  readonly message: string;
}

export interface Condition extends ConditionDraft {
  /** RFC 3339 in whole seconds, as metav1.Time writes it. */
  readonly lastTransitionTime: string;
  readonly observedGeneration?: number;
}

export interface ConditionMoment {
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** `metadata.generation` of the object that the conditions were decided on. */
  readonly observedGeneration?: number | undefined;
}

/**
 * The conditions of `next`, in its order, each with the time at which its status last changed: the time in
 * `previous` where the status is the same, now otherwise. A type that `next` leaves out is gone.
 */
export function mergeConditions(
  previous: readonly Condition[],
  next: readonly ConditionDraft[],
  moment: ConditionMoment,
): readonly Condition[] {
  return next.map((draft) => {
    const before = previous.find((one) => one.type === draft.type);
    return {
      type: draft.type,
      status: draft.status,
      reason: draft.reason,
      message: draft.message,
      ...(moment.observedGeneration === undefined ? {} : { observedGeneration: moment.observedGeneration }),
      lastTransitionTime:
        before?.status === draft.status ? before.lastTransitionTime : formatTime(moment.nowMs),
    };
  });
}

/** metav1.Time: RFC 3339, UTC, whole seconds. */
export function formatTime(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}

/** metav1.MicroTime: six digits after the point, where the API server refuses JavaScript's three. */
export function formatMicroTime(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 23)}000Z`;
}
