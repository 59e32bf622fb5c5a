/**
 * An open loop: requests come when they come, at random (Poisson), whether others were answered or not. What finds no free
 * connection waits here, and its wait counts: latency is from the arrival on.
 */
export interface Arrival {
  /** On the clock of `performance.now()`. */
  readonly due: number;
}

export interface ArrivalOptions {
  readonly perSecond: number;
  readonly startAt: number;
  readonly endAt: number;
  /** The same seed gives the same times: servers that are compared get the same bursts. */
  readonly seed: number;
}

/** Milliseconds on the same clock, ascending. */
export function arrivalTimes({ perSecond, startAt, endAt, seed }: ArrivalOptions): readonly number[] {
  const random = generator(seed);
  const times: number[] = [];
  const gap = () => (-Math.log(1 - random()) * 1000) / perSecond;
  for (let at = startAt + gap(); at < endAt; at += gap()) times.push(at);
  return times;
}

/** Hands each arrival to whoever asks first, one after the other; undefined once there will be no more. */
export class Arrivals {
  readonly #times: readonly number[];
  /** Asked for and not due yet, the oldest first: connections take turns. */
  readonly #asking: ((arrival: Arrival | undefined) => void)[] = [];
  #taken = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(times: readonly number[]) {
    this.#times = times;
  }

  next(): Promise<Arrival | undefined> {
    const { promise, resolve } = Promise.withResolvers<Arrival | undefined>();
    this.#asking.push(resolve);
    this.#give();
    return promise;
  }

  #give(): void {
    const now = performance.now();
    for (;;) {
      const due = this.#times[this.#taken];
      if (due !== undefined && due > now) break;
      const ask = this.#asking.shift();
      if (ask === undefined) return;
      if (due !== undefined) this.#taken++;
      ask(due === undefined ? undefined : { due });
    }
    const next = this.#times[this.#taken];
    if (this.#timer !== undefined || next === undefined || this.#asking.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#give();
    }, next - now);
  }
}

/** Of numbers from 0 to below 1: mulberry32. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
