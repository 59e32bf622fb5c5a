import { keptEntities, type Entity } from "./labels.ts";
import {
  floatsOf,
  roundScore,
  type Pipeline,
  type PipelineItem,
  type PipelineResult,
  type RunHooks,
  type Session,
} from "./pipeline.ts";
import type { SpacyNerConfig } from "./spacy-config.ts";
import { ROWS_PER_TOKEN, SpacyRows } from "./spacy-rows.ts";
import { isWhiteSpace, SpacyTokenizer, type SpacyToken } from "./spacy-tokenizer.ts";
import { SpacyTransitions } from "./spacy-transitions.ts";

const MAX_BATCH_ITEMS = 32;
/** Tokens of one run; 4 MB of features. */
const RUN_TOKENS = 2048;
/** How far the network sees to either side; so many tokens of padding stand before, between and after texts. */
const WINDOW = 4;

/** Tokens `from` to `to` of an item, which get their features in one run, with WINDOW tokens around them. */
interface Piece {
  readonly item: number;
  readonly from: number;
  readonly to: number;
}

/**
 * English entities as spaCy's small model finds them: text → tokens → rows of the embedding tables → features of each
 * token → one move of the transition system per token → entities.
 *
 * The network sees four tokens to either side. So texts of a batch stand in one row of tokens with as much padding between
 * them, and long texts are cut into pieces that overlap by that much: features are those of each text alone and whole.
 */
export class SpacyNer implements Pipeline {
  readonly taskTypes = ["token-classification"] as const;
  readonly batching: Pipeline["batching"];
  readonly #session: Session;
  readonly #config: SpacyNerConfig;
  readonly #tokenizer: SpacyTokenizer;
  readonly #rows: SpacyRows;
  readonly #transitions: SpacyTransitions;

  constructor(session: Session, config: SpacyNerConfig, contextLength: number) {
    this.#session = session;
    this.#config = config;
    this.#tokenizer = new SpacyTokenizer(config.tokenizer);
    this.#rows = new SpacyRows(config);
    this.#transitions = new SpacyTransitions(config);
    this.batching = { maxItems: MAX_BATCH_ITEMS, maxLength: contextLength };
  }

  async run(items: readonly PipelineItem[], { onProgress }: RunHooks): Promise<readonly PipelineResult[]> {
    const tokens = items.map(({ text }) => this.#tokenizer.tokenize(text));
    const width = this.#transitions.featureWidth;
    const features = tokens.map(({ length }) => new Float32Array(length * width));
    for (const pieces of inRuns(tokens.flatMap(piecesOf))) {
      await this.#addFeatures(pieces, tokens, features);
      onProgress();
    }
    return items.map((item, index) => ({
      output: {
        type: "token-classification",
        entities: this.#entities(item, tokens[index] ?? [], features[index] ?? new Float32Array(0)),
        scoreSource: "probability",
      },
    }));
  }

  /** Runs the graph over `pieces` and writes what it says of their tokens to `features`, one array per item. */
  async #addFeatures(
    pieces: readonly Piece[],
    tokens: readonly (readonly SpacyToken[])[],
    features: readonly Float32Array[],
  ): Promise<void> {
    const spans = pieces.map(({ item, from, to }) => {
      const all = tokens[item] ?? [];
      return {
        item,
        from,
        to,
        start: Math.max(0, from - WINDOW),
        end: Math.min(all.length, to + WINDOW),
        all,
      };
    });
    const size = spans.reduce((sum, { start, end }) => sum + end - start + WINDOW, WINDOW);
    const rows = new Int32Array(size * ROWS_PER_TOKEN);
    const mask = new Float32Array(size);
    let at = WINDOW;
    for (const { all, start, end } of spans) {
      for (const token of all.slice(start, end)) {
        rows.set(this.#rows.of(token), at * ROWS_PER_TOKEN);
        mask[at++] = 1;
      }
      at += WINDOW;
    }
    const { inputs, output } = this.#config;
    const outputs = await this.#session.run({
      [inputs.rows]: this.#session.int64(rows, [size, 4, 4]),
      [inputs.mask]: this.#session.float32(mask, [size, 1]),
    });
    const found = floatsOf(outputs, output);
    const width = this.#transitions.featureWidth;
    at = WINDOW;
    for (const { item, from, to, start, end } of spans) {
      const first = at + from - start;
      features[item]?.set(found.subarray(first * width, (first + to - from) * width), from * width);
      at += end - start + WINDOW;
    }
  }

  #entities(
    { text, parameters }: PipelineItem,
    tokens: readonly SpacyToken[],
    features: Float32Array,
  ): Entity[] {
    const isSpace = (token: number) => isWhiteSpace(tokens[token]?.text[0] ?? "");
    const entities = this.#transitions
      .parse(features, tokens.length, isSpace)
      .map(({ label, start, end, probability }) => {
        const first = tokens[start]?.start ?? 0;
        const last = tokens[end - 1];
        const stop = (last?.start ?? 0) + (last?.text.length ?? 0);
        const score = roundScore(probability);
        return { entity_group: label, score, word: text.slice(first, stop), start: first, end: stop };
      });
    return keptEntities(entities, parameters);
  }
}

function piecesOf(tokens: readonly SpacyToken[], item: number): Piece[] {
  const pieces: Piece[] = [];
  for (let from = 0; from < tokens.length; from += RUN_TOKENS)
    pieces.push({ item, from, to: Math.min(tokens.length, from + RUN_TOKENS) });
  return pieces;
}

/** Pieces in order, as many for each run as have room. */
function inRuns(pieces: readonly Piece[]): readonly (readonly Piece[])[] {
  const runs: Piece[][] = [];
  let room = 0;
  for (const piece of pieces) {
    const size = piece.to - piece.from;
    const run = size <= room ? runs.at(-1) : undefined;
    if (run === undefined) runs.push([piece]);
    else run.push(piece);
    room = (run === undefined ? RUN_TOKENS : room) - size;
  }
  return runs;
}
