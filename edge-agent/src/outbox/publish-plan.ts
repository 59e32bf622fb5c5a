/** What is known of the sending of one chunk. */
export interface SendState {
  readonly isInFlight: boolean;
  /** The bus confirmed it, as stored or as there already. */
  readonly isConfirmed: boolean;
  /** Sends since the last reconnect. */
  readonly sends: number;
  /** Clock of the last send's end; undefined: never sent. */
  readonly lastSentAt: number | undefined;
}

export const NEVER_SENT: SendState = {
  isInFlight: false,
  isConfirmed: false,
  sends: 0,
  lastSentAt: undefined,
};

export interface SendTiming {
  /** A confirmed chunk that is still not accepted is sent again after this; doubled each time. */
  readonly republishAfterMs: number;
  readonly republishAtMostMs: number;
  /** After a failed send; doubled each time. */
  readonly retryAfterMs: number;
  readonly retryAtMostMs: number;
}

/**
 * When a chunk is due. A confirmation is not the end: the bus may lose its disk, so a chunk is sent again until it is
 * accepted, ever more rarely, since most of the time the ingester is just slow and the copy would be a duplicate.
 * Nobody says whether chunks of an unlisted assignment are accepted: they are confirmed once per connection.
 */
export function sendDueAt(state: SendState, isListed: boolean, timing: SendTiming): number {
  if (state.isInFlight) return Infinity;
  if (state.lastSentAt === undefined) return -Infinity;
  if (state.isConfirmed && !isListed) return Infinity;
  const [first, atMost] = state.isConfirmed
    ? [timing.republishAfterMs, timing.republishAtMostMs]
    : [timing.retryAfterMs, timing.retryAtMostMs];
  return state.lastSentAt + Math.min(first * 2 ** Math.max(0, state.sends - 1), atMost);
}

export interface SendGroup<Chunk> {
  /** Unlisted assignments come last. */
  readonly isListed: boolean;
  readonly priority: number;
  /** Orders equals, so that the plan doesn't depend on the order of the groups. */
  readonly name: string;
  readonly chunks: readonly (Chunk & {
    readonly chunk: number;
    readonly bytes: number;
    readonly state: SendState;
  })[];
}

/** Which chunks to send now: by priority, then by number, within the window and the bytes. */
export function planSends<Chunk>(facts: {
  readonly groups: readonly SendGroup<Chunk>[];
  readonly nowMs: number;
  /** Sends that may still be added to those in flight. */
  readonly window: number;
  readonly bytes: number;
  readonly timing: SendTiming;
}): {
  readonly sends: readonly Chunk[];
  /** When the next one is due; Infinity when none is. */ readonly nextAtMs: number;
} {
  const sends: Chunk[] = [];
  let bytes = facts.bytes;
  let nextAtMs = Infinity;
  for (const group of facts.groups.toSorted(bySendOrder)) {
    const due: (typeof group.chunks)[number][] = [];
    for (const chunk of group.chunks) {
      const dueAt = sendDueAt(chunk.state, group.isListed, facts.timing);
      if (dueAt <= facts.nowMs) due.push(chunk);
      else nextAtMs = Math.min(nextAtMs, dueAt);
    }
    due.sort((a, b) => a.chunk - b.chunk);
    for (const chunk of due) {
      if (sends.length >= facts.window || bytes <= 0) return { sends, nextAtMs: facts.nowMs };
      sends.push(chunk);
      bytes -= chunk.bytes;
    }
  }
  return { sends, nextAtMs };
}

function bySendOrder(a: SendGroup<unknown>, b: SendGroup<unknown>): number {
  return (
    Number(b.isListed) - Number(a.isListed) ||
    b.priority - a.priority ||
    (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  );
}
