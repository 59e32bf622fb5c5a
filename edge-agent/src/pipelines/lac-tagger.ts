import { lookUp, type LacTaggerConfig } from "./config.ts";
import { Crf } from "./crf.ts";
import { keptEntities, type Entity } from "./labels.ts";
import { LacSegmenter } from "./lac-segmenter.ts";
import {
  floatsOf,
  roundScore,
  type Pipeline,
  type PipelineItem,
  type PipelineResult,
  type RunHooks,
  type Session,
} from "./pipeline.ts";

const MAX_BATCH_ITEMS = 32;
/** Where a text that is longer than the context is cut: behind the last of these marks, else anywhere. */
const SENTENCE_END = /[。！？；!?;\n]/g;

/** A word of the vocabulary or a single character, with its place in the text. */
interface Unit {
  readonly text: string;
  readonly start: number;
}

/** Units that go through the graph as one row. */
interface Piece {
  readonly item: number;
  readonly units: readonly Unit[];
}

/**
 * Chinese entities after Baidu's LAC: text → words → units (a word of the vocabulary, else its characters) →
 * emissions [batch, units, tags] → best path of the CRF → a span from each tag `X-B`, named by its last tag.
 *
 * A span's score is the mean over its characters of the CRF's marginal probability of their tags. Texts beyond the context
 * are tagged in pieces that end with a sentence.
 */
export class LacTagger implements Pipeline {
  readonly taskTypes = ["token-classification"] as const;
  readonly batching: Pipeline["batching"];
  readonly #session: Session;
  readonly #config: LacTaggerConfig;
  readonly #contextLength: number;
  readonly #segmenter: LacSegmenter;
  readonly #crf: Crf;

  constructor(session: Session, config: LacTaggerConfig, contextLength: number) {
    this.#session = session;
    this.#config = config;
    this.#contextLength = contextLength;
    this.#segmenter = new LacSegmenter(config.segmenter);
    this.#crf = new Crf(config.crf);
    this.batching = { maxItems: MAX_BATCH_ITEMS, maxLength: contextLength };
  }

  async run(items: readonly PipelineItem[], { onProgress }: RunHooks): Promise<readonly PipelineResult[]> {
    const entities: Entity[][] = items.map(() => []);
    const pieces = items.flatMap(({ text }, item) => this.#piecesOf(text, item));
    for (let at = 0; at < pieces.length; at += MAX_BATCH_ITEMS) {
      const batch = pieces.slice(at, at + MAX_BATCH_ITEMS);
      const emissions = await this.#emissions(batch.map(({ units }) => units));
      for (const [row, { item, units }] of batch.entries()) {
        const found = this.#entities(units, emissions[row] ?? new Float32Array(0));
        entities[item]?.push(...keptEntities(found, items[item]?.parameters));
      }
      onProgress();
    }
    return entities.map((found) => ({
      output: { type: "token-classification", entities: found, scoreSource: "marginal" },
    }));
  }

  #piecesOf(text: string, item: number): Piece[] {
    return splitText(text, this.#contextLength).flatMap((piece) => {
      const units = this.#unitsOf(piece);
      return units.length === 0 ? [] : [{ item, units }];
    });
  }

  #unitsOf({ text, start }: Unit): readonly Unit[] {
    let at = start;
    return this.#segmenter
      .segment(text)
      .flatMap((word) => (Object.hasOwn(this.#config.vocab, word) ? [word] : Array.from(word)))
      .map((unit) => ({ text: unit, start: (at += unit.length) - unit.length }));
  }

  #idOf(unit: string): number {
    const { vocab, replace, unknownWord } = this.#config;
    return lookUp(vocab, lookUp(replace, unit) ?? unit) ?? lookUp(vocab, unknownWord) ?? 0;
  }

  /** Emissions [units, tags] of each row. */
  async #emissions(rows: readonly (readonly Unit[])[]): Promise<readonly Float32Array[]> {
    const { inputs, output, tags } = this.#config;
    const lengths = rows.map((units) => units.length);
    const width = Math.max(...lengths);
    const ids = new Int32Array(rows.length * width);
    for (const [row, units] of rows.entries())
      ids.set(
        units.map((unit) => this.#idOf(unit.text)),
        row * width,
      );
    const outputs = await this.#session.run({
      [inputs.ids]: this.#session.int64(ids, [rows.length, width]),
      [inputs.lengths]: this.#session.int32(lengths, [rows.length]),
    });
    const emissions = floatsOf(outputs, output);
    const size = width * tags.length;
    return lengths.map((length, row) => emissions.subarray(row * size, row * size + length * tags.length));
  }

  #entities(units: readonly Unit[], emissions: Float32Array): readonly Entity[] {
    const { tags, entityTypes } = this.#config;
    const path = this.#crf.bestPath(emissions);
    const names = path.map((tag) => tags[tag] ?? "");
    if (!names.some((name) => lookUp(entityTypes, name.slice(0, -2)) !== undefined)) return [];
    const marginals = this.#crf.pathMarginals(emissions, path);
    const spans: { name: string; word: string; start: number; probability: number; characters: number }[] =
      [];
    for (const [index, unit] of units.entries()) {
      const tag = names[index] ?? "";
      if (spans.length === 0 || tag.endsWith("B")) {
        spans.push({ name: "", word: "", start: unit.start, probability: 0, characters: 0 });
      }
      const span = spans.at(-1);
      if (span === undefined) continue;
      const characters = Array.from(unit.text).length;
      span.name = tag.slice(0, -2);
      span.word += unit.text;
      span.probability += (marginals[index] ?? 0) * characters;
      span.characters += characters;
    }
    return spans.flatMap(({ name, word, start, probability, characters }) => {
      const group = lookUp(entityTypes, name);
      if (group === undefined) return [];
      const score = roundScore(probability / characters);
      return [{ entity_group: group, score, word, start, end: start + word.length }];
    });
  }
}

/** Pieces of at most `maxLength` UTF-16 units, cut behind a sentence where there is one and never inside a character. */
export function splitText(text: string, maxLength: number): readonly Unit[] {
  const pieces: Unit[] = [];
  for (let start = 0; start < text.length;) {
    let end = Math.min(text.length, start + maxLength);
    if (end < text.length) {
      const sentence = [...text.slice(start, end).matchAll(SENTENCE_END)].at(-1);
      if (sentence !== undefined) end = start + sentence.index + 1;
      else if (/[\uD800-\uDBFF]/.test(text[end - 1] ?? "") && end - start > 1) end -= 1;
    }
    pieces.push({ text: text.slice(start, end), start });
    start = end;
  }
  return pieces;
}
