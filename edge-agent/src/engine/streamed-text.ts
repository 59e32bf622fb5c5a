/**
 * The text of an item on its way to whoever reads along. When its process is lost the item runs again from its first token,
 * and what was read already is not said twice: an answer is the same in every run, whatever runs beside it.
 */
export class StreamedText {
  #said = "";
  /** Characters of the present run. */
  #at = 0;

  /** A run begins. */
  begin(): void {
    this.#at = 0;
  }

  /** What of the next piece is new; undefined when this run says something else than the one before. */
  next(piece: string): string | undefined {
    const known = this.#said.slice(this.#at, this.#at + piece.length);
    if (!piece.startsWith(known)) return undefined;
    this.#at += piece.length;
    const fresh = piece.slice(known.length);
    this.#said += fresh;
    return fresh;
  }
}
