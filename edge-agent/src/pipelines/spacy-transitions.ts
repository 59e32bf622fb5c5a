import type { SpacyNerConfig } from "./spacy-config.ts";

/**
 * The greedy transition system of spaCy's entity recogniser, one move per token:
 *
 *                B-x             I-x
 *     ┌─ closed ─────▶ open(x) ───┐        U-x: an entity of one token; O: no entity
 *   O,U-x  ▲              │  ▲────┘
 *     └────┘◀─────────────┘
 *               L-x
 *
 * The last token can't begin or continue an entity, and none begins on white space. Scores of the moves: the sum of three
 * rows of the token features (this token, the first of the open entity, the one before this if an entity is open), maxout,
 * linear. Of the valid moves the one with the highest score is made.
 */
export interface TokenEntity {
  readonly label: string;
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  /** Product of the shares that the entity's moves had in the softmax over the valid moves. */
  readonly probability: number;
}

interface Move {
  readonly letter: string;
  readonly label: string;
}

const STATE_FEATURES = 3;

export class SpacyTransitions {
  readonly #moves: readonly Move[];
  readonly #lower: SpacyNerConfig["lower"];
  readonly #upper: SpacyNerConfig["upper"];
  readonly #width: number;

  constructor({ moves, lower, upper }: Pick<SpacyNerConfig, "moves" | "lower" | "upper">) {
    this.#moves = moves.map((move) => ({ letter: move.slice(0, 1), label: move.slice(2) }));
    this.#lower = lower;
    this.#upper = upper;
    this.#width = lower.hidden * lower.pieces;
  }

  /** Floats of a token. */
  get featureWidth(): number {
    return STATE_FEATURES * this.#width;
  }

  /**
   * @param features [tokens, state feature, hidden, piece] of one text
   * @param isSpace whether the token is white space
   */
  parse(features: Float32Array, tokens: number, isSpace: (token: number) => boolean): readonly TokenEntity[] {
    const entities: TokenEntity[] = [];
    let open: { readonly start: number; readonly label: string; probability: number } | undefined;
    for (let token = 0; token < tokens; token++) {
      const scores = this.#scores(features, token, open?.start);
      const state = { openLabel: open?.label, isLast: token === tokens - 1, isSpace: isSpace(token) };
      const { move, probability } = this.#best(scores, state);
      const { letter, label } = move;
      if (letter === "B") open = { start: token, label, probability };
      else if (open !== undefined) open.probability *= probability;
      if (letter === "U" && label !== "") entities.push({ label, start: token, end: token + 1, probability });
      if (letter === "L" && open !== undefined) {
        entities.push({ ...open, end: token + 1 });
        open = undefined;
      }
    }
    return entities;
  }

  #scores(features: Float32Array, token: number, openStart: number | undefined): Float64Array {
    const { hidden, pieces, bias, pad } = this.#lower;
    const width = this.#width;
    const row = (at: number, feature: number) => (at * STATE_FEATURES + feature) * width;
    const own = row(token, 0);
    const first = openStart === undefined ? undefined : row(openStart, 1);
    const before = openStart === undefined ? undefined : row(token - 1, 2);
    const states = new Float64Array(hidden);
    for (let unit = 0; unit < hidden; unit++) {
      let best = -Infinity;
      for (let index = unit * pieces; index < (unit + 1) * pieces; index++) {
        const a = features[own + index] ?? 0;
        const b = (first === undefined ? pad[1]?.[index] : features[first + index]) ?? 0;
        const c = (before === undefined ? pad[2]?.[index] : features[before + index]) ?? 0;
        best = Math.max(best, a + b + c + (bias[index] ?? 0));
      }
      states[unit] = best;
    }
    return Float64Array.from(this.#moves, (_, move) => {
      const weights = this.#upper.weights[move] ?? [];
      let sum = this.#upper.bias[move] ?? 0;
      for (let unit = 0; unit < hidden; unit++) sum += (weights[unit] ?? 0) * (states[unit] ?? 0);
      return sum;
    });
  }

  #best(scores: Float64Array, state: MoveState) {
    let move: Move = { letter: "O", label: "" };
    let top = -Infinity;
    const valid: number[] = [];
    for (const [index, candidate] of this.#moves.entries()) {
      if (!isValid(candidate, state)) continue;
      const score = scores[index] ?? -Infinity;
      valid.push(score);
      if (score > top) [move, top] = [candidate, score];
    }
    return { move, probability: 1 / valid.reduce((sum, score) => sum + Math.exp(score - top), 0) };
  }
}

interface MoveState {
  readonly openLabel: string | undefined;
  readonly isLast: boolean;
  readonly isSpace: boolean;
}

function isValid({ letter, label }: Move, { openLabel, isLast, isSpace }: MoveState): boolean {
  switch (letter) {
    case "B":
      return openLabel === undefined && label !== "" && !isLast && !isSpace;
    case "I":
      return openLabel === label && label !== "" && !isLast;
    case "L":
      return openLabel === label && label !== "";
    case "U":
      return openLabel === undefined && label !== "" && !isSpace;
    default:
      return openLabel === undefined;
  }
}
