import { bestLabels } from "./labels.ts";
import { lookUp, type CharCnnClassifierConfig } from "./config.ts";
import {
  EMPTY_TEXT,
  floatsOf,
  roundScore,
  type Parameters,
  type Pipeline,
  type PipelineItem,
  type PipelineResult,
  type Session,
} from "./pipeline.ts";

const MAX_BATCH_ITEMS = 128;

/**
 * Classifier over characters: ids [batch, length] int64 → probabilities [batch, labels].
 *
 * Rows are padded to the longest of the batch. The graph must answer the same however far a row is padded. Texts beyond
 * `maxLength` code points are judged by their beginning.
 */
export class CharCnnClassifier implements Pipeline {
  readonly taskTypes = ["text-classification"] as const;
  readonly labels: readonly string[];
  readonly batching: Pipeline["batching"];
  readonly #session: Session;
  readonly #config: CharCnnClassifierConfig;

  constructor(session: Session, config: CharCnnClassifierConfig) {
    this.#session = session;
    this.#config = config;
    this.labels = config.labels;
    this.batching = { maxItems: MAX_BATCH_ITEMS, maxLength: config.maxLength };
  }

  async run(items: readonly PipelineItem[]): Promise<readonly PipelineResult[]> {
    const rows = items.map((item) => this.#encode(item.text));
    const filled = rows.filter((row) => row.length > 0);
    const probabilities = filled.length === 0 ? new Float32Array(0) : await this.#classify(filled);
    const width = this.#config.labels.length;
    let at = 0;
    return rows.map((row, index) => {
      if (row.length === 0) return EMPTY_TEXT;
      const scores = probabilities.subarray(at, (at += width));
      return this.#resultOf(scores, items[index]?.parameters ?? {});
    });
  }

  /** Ids of the first characters; none for a text without a visible character. */
  #encode(text: string): readonly number[] {
    const { maxLength, unknownId, vocab } = this.#config;
    // A character grows to 18 at most under NFKC, and white space may go: enough of the text for maxLength of them.
    const beginning = text.length > maxLength * 64 ? text.slice(0, maxLength * 64) : text;
    const characters = Array.from(normalizeText(beginning)).slice(0, maxLength);
    return characters.map((character) => lookUp(vocab, character) ?? unknownId);
  }

  async #classify(rows: readonly (readonly number[])[]): Promise<Float32Array> {
    const { minLength, padId, input, output } = this.#config;
    const length = Math.max(minLength, ...rows.map((row) => row.length));
    const ids = new Int32Array(rows.length * length).fill(padId);
    for (const [index, row] of rows.entries()) ids.set(row, index * length);
    const outputs = await this.#session.run({ [input]: this.#session.int64(ids, [rows.length, length]) });
    return floatsOf(outputs, output);
  }

  #resultOf(probabilities: Float32Array, parameters: Parameters): PipelineResult {
    const labels = this.#config.labels.map((label, index) => ({
      label,
      score: roundScore(probabilities[index] ?? 0),
    }));
    return {
      output: {
        type: "text-classification",
        labels: bestLabels(labels, parameters),
        scoreSource: "probability",
      },
    };
  }
}

/** NFKC, lower case, runs of white space become one space, trimmed: as the model was trained. */
export function normalizeText(text: string): string {
  return text.normalize("NFKC").toLowerCase().replaceAll(/\s+/g, " ").trim();
}
