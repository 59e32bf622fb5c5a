/**
 * Where each part of a changed text came from.
 *
 * A map is a list of runs in the order of the changed text. A run begins at `out` and ends where the next one begins; it
 * was made from `from`..`to` of the original. A run as long as its original maps unit by unit, any other only as a whole:
 * "㎏" → "kg" has no half. What no run covers was dropped. Units are those of UTF-16, as in every offset of a result.
 */
export interface Run {
  readonly out: number;
  readonly from: number;
  readonly to: number;
}

/** A text and where it came from in the text of its record. */
export interface MappedText {
  readonly text: string;
  readonly runs: readonly Run[];
}

export const unchanged = (text: string): MappedText => ({
  text,
  runs: text === "" ? [] : [{ out: 0, from: 0, to: text.length }],
});

/** Collects a changed text piece by piece. */
export class TextBuilder {
  readonly #pieces: string[] = [];
  readonly #runs: Run[] = [];
  #length = 0;

  /** @param from,to what the piece was made from */
  add(piece: string, from: number, to: number): void {
    if (piece === "") return;
    const last = this.#runs.at(-1);
    const joins =
      last !== undefined &&
      last.to === from &&
      piece.length === to - from &&
      this.#length - last.out === last.to - last.from;
    if (joins) this.#runs[this.#runs.length - 1] = { out: last.out, from: last.from, to };
    else this.#runs.push({ out: this.#length, from, to });
    this.#pieces.push(piece);
    this.#length += piece.length;
  }

  build(): MappedText {
    return { text: this.#pieces.join(""), runs: this.#runs };
  }
}

/** The original part of `start`..`end` of the changed text. */
export function originOf(
  { text, runs }: MappedText,
  start: number,
  end: number,
): { start: number; end: number } {
  if (runs.length === 0) return { start: 0, end: 0 };
  const first = startIn(runs, text.length, start);
  return { start: first, end: end > start ? endIn(runs, text.length, end) : first };
}

function startIn(runs: readonly Run[], length: number, at: number): number {
  const index = runIndex(runs, at);
  const run = runs[index];
  if (run === undefined) return 0;
  if (at >= length) return run.to;
  return isExact(runs, index, length) ? run.from + (at - run.out) : run.from;
}

/** `at` is behind the last unit, which says what the end is. */
function endIn(runs: readonly Run[], length: number, at: number): number {
  const index = runIndex(runs, at - 1);
  const run = runs[index];
  if (run === undefined) return 0;
  return isExact(runs, index, length) ? run.from + (at - run.out) : run.to;
}

/** Index of the run that holds a unit of the changed text. */
function runIndex(runs: readonly Run[], at: number): number {
  let low = 0;
  let high = runs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((runs[middle]?.out ?? 0) <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

function isExact(runs: readonly Run[], index: number, length: number): boolean {
  const run = runs[index];
  return run !== undefined && outEnd(runs, index, length) - run.out === run.to - run.from;
}

const outEnd = (runs: readonly Run[], index: number, length: number) => runs[index + 1]?.out ?? length;

/** `later` was made from the text of `earlier`: its runs in the original of `earlier`. */
export function compose(earlier: MappedText, later: MappedText): MappedText {
  if (
    earlier.runs.length <= 1 &&
    earlier.runs.every((_, index) => isExact(earlier.runs, index, earlier.text.length))
  ) {
    const shift = earlier.runs[0]?.from ?? 0;
    if (shift === 0) return later;
    return {
      text: later.text,
      runs: later.runs.map(({ out, from, to }) => ({ out, from: from + shift, to: to + shift })),
    };
  }
  const builder = new TextBuilder();
  for (const [index, run] of later.runs.entries()) {
    const end = outEnd(later.runs, index, later.text.length);
    const piece = later.text.slice(run.out, end);
    if (isExact(later.runs, index, later.text.length)) addCut(builder, earlier, piece, run.from);
    else {
      const { start, end: to } = originOf(earlier, run.from, run.to);
      builder.add(piece, start, to);
    }
  }
  return builder.build();
}

/** A piece that maps unit by unit to the middle text is cut where the runs of the middle text are. */
function addCut(builder: TextBuilder, earlier: MappedText, piece: string, from: number): void {
  const to = from + piece.length;
  let at = from;
  for (let index = runIndex(earlier.runs, from); at < to; index++) {
    const run = earlier.runs[index];
    if (run === undefined) return;
    const end = Math.min(to, outEnd(earlier.runs, index, earlier.text.length));
    const part = piece.slice(at - from, end - from);
    if (isExact(earlier.runs, index, earlier.text.length)) {
      builder.add(part, run.from + (at - run.out), run.from + (end - run.out));
    } else builder.add(part, run.from, run.to);
    at = end;
  }
}

/** A part of a changed text, with the map of that part. */
export function slice(mapped: MappedText, start: number, end: number): MappedText {
  const part = mapped.text.slice(start, end);
  const builder = new TextBuilder();
  addCut(builder, mapped, part, start);
  return builder.build();
}
