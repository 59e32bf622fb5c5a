import { setTimeout as sleep } from "node:timers/promises";
import type { ItemResult } from "@autoglm/api";
import type { AgentParts } from "@autoglm/edge-agent";

type Engine = ReturnType<AgentParts["createEngine"]>;

/**
 * Labels a text with its own length, in an order that differs from the input's as a real engine's does. `itemMs` makes
 * it slow enough to be interrupted.
 */
export class FakeEngine implements Engine {
  readonly #itemMs: number;
  readonly #loaded = new Set<string>();
  /** Every item that was computed, in order: what must not happen twice. */
  readonly computed: number[] = [];

  constructor({ itemMs = 0 }: { readonly itemMs?: number } = {}) {
    this.#itemMs = itemMs;
  }

  async load(model: Parameters<Engine["load"]>[0]): Promise<{ loadMs: number }> {
    const isLoaded = this.#loaded.has(model.digest);
    this.#loaded.add(model.digest);
    return { loadMs: isLoaded ? 0 : 1 };
  }

  async *infer({ items, signal }: Parameters<Engine["infer"]>[0]): AsyncGenerator<ItemResult> {
    let held: ItemResult | undefined;
    for await (const parsed of items) {
      if (this.#itemMs > 0) await sleep(this.#itemMs);
      signal.throwIfAborted();
      this.computed.push(parsed.item);
      const result =
        "error" in parsed ? failed(parsed.item, parsed.error) : labelled(parsed.item, parsed.text);
      // Every other result overtakes the one before it.
      if (held) {
        yield result;
        yield held;
        held = undefined;
      } else if (parsed.item % 3 === 1) held = result;
      else yield result;
    }
    if (held) yield held;
  }

  reports(): [] {
    return [];
  }

  usedBytes(): number {
    return 0;
  }

  async close(): Promise<void> {}
}

export const labelOf = (text: string) => `length-${text.length}`;

function labelled(item: number, text: string): ItemResult {
  const labels = [{ label: labelOf(text), score: 1 }];
  return {
    item,
    stage: "final",
    ms: 0.1,
    output: { type: "text-classification", labels, scoreSource: "probability" },
  };
}

function failed(item: number, error: NonNullable<ItemResult["error"]>): ItemResult {
  return { item, stage: "final", ms: 0, error };
}
