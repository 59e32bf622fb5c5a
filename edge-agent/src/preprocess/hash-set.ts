import { createHash } from "node:crypto";
import { AutoglmError } from "@autoglm/api";

/** 2^24 slots of 8 bytes are 128 MiB. */
const MAX_SLOTS = 2 ** 24;
const MOST_FILLED = 0.7;
const MAX_DISTINCT_TEXTS = Math.floor(MAX_SLOTS * MOST_FILLED);

/**
 * Texts that were there before, by 64 bits of their sha256, in an open-addressing table: 8 bytes for each slot where a Set
 * of strings would take some 100. Among 11 million texts two different ones meet with a probability of 4 in a million.
 */
export class HashSet {
  #slots = new BigUint64Array(1024);
  #size = 0;

  /**
   * False when it was there already.
   * @throws AutoglmError `InputTooLarge` beyond {@link MAX_DISTINCT_TEXTS}
   */
  add(text: string): boolean {
    const digest = createHash("sha256").update(text).digest();
    // 0 marks a free slot.
    const hash = digest.readBigUInt64LE(0) || 1n;
    const slot = this.#find(hash);
    if (this.#slots[slot] === hash) return false;
    if (this.#size >= MAX_DISTINCT_TEXTS) {
      throw new AutoglmError(
        "InputTooLarge",
        `step dedupe remembers ${MAX_DISTINCT_TEXTS} different texts: split the input, or leave the step out`,
        { details: { limit: MAX_DISTINCT_TEXTS } },
      );
    }
    this.#slots[slot] = hash;
    this.#size++;
    if (this.#size > this.#slots.length * MOST_FILLED && this.#slots.length < MAX_SLOTS) this.#grow();
    return true;
  }

  #find(hash: bigint): number {
    const mask = this.#slots.length - 1;
    let slot = Number(hash & 0xffffffffn) & mask;
    while (this.#slots[slot] !== 0n && this.#slots[slot] !== hash) slot = (slot + 1) & mask;
    return slot;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new BigUint64Array(old.length * 2);
    for (const hash of old) if (hash !== 0n) this.#slots[this.#find(hash)] = hash;
  }
}
