import { expect, test } from "vitest";
import { CharCnnClassifier, normalizeText } from "./char-cnn-classifier.ts";
import type { CharCnnClassifierConfig } from "./config.ts";
import type { Session, Tensor } from "./pipeline.ts";

test.each([
  ["ＡＢＣ１２３　很  好！", "abc123 很 好!"],
  ["\t好\r\n\uFEFF", "好"],
  ["ﷺ", "صلى الله عليه وسلم"],
  [" \u3000\n", ""],
])("normalizes %j as the model was trained", (text, normalized) => {
  expect(normalizeText(text)).toBe(normalized);
});

const config: CharCnnClassifierConfig = {
  kind: "char-cnn-classifier",
  labels: ["a", "b", "c"],
  maxLength: 4,
  minLength: 2,
  padId: 0,
  unknownId: 1,
  normalization: "nfkc-lower-squeeze",
  input: "ids",
  output: "scores",
  vocab: { x: 2, y: 3 },
};

const SCORES = [0.2, 0.5, 0.3];

/** A graph that keeps what it was fed and answers each row with .2, .5, .3. */
function fakeSession() {
  const fed: Tensor[] = [];
  const tensor = (data: unknown, dims: readonly number[]): Tensor => ({ data, dims });
  const session: Session = {
    int64: tensor,
    int32: tensor,
    float32: tensor,
    tensor: (_type, data, dims) => tensor(data, dims),
    run: async ({ ids }) => {
      if (ids !== undefined) fed.push(ids);
      const rows = ids?.dims[0] ?? 0;
      return {
        scores: tensor(
          Float32Array.from({ length: 3 * rows }, (_, index) => SCORES[index % 3] ?? 0),
          [rows, 3],
        ),
      };
    },
  };
  return { session, fed };
}

const type = "text-classification";

test("pads to the longest row and the smallest length, cuts what is beyond, and leaves empty texts out", async () => {
  const { session, fed } = fakeSession();
  const classifier = new CharCnnClassifier(session, config);
  const texts = ["x", "", "xYz", "xyxyxyxy", "constructor"];
  const results = await classifier.run(texts.map((text) => ({ type, text, parameters: {} })));
  expect(fed.map(({ dims, data }) => ({ dims, data }))).toEqual([
    { dims: [4, 4], data: Int32Array.from([2, 0, 0, 0, 2, 3, 1, 0, 2, 3, 2, 3, 1, 1, 1, 1]) },
  ]);
  expect(results.map((result) => "error" in result)).toEqual([false, true, false, false, false]);
  await classifier.run([{ type, text: "x", parameters: {} }]);
  expect(fed[1]?.dims).toEqual([1, 2]);
});

test("gives labels best first, as many as are asked for", async () => {
  const classifier = new CharCnnClassifier(fakeSession().session, config);
  const [result] = await classifier.run([{ type, text: "x", parameters: { topK: 2 } }]);
  expect(result).toEqual({
    output: {
      type: "text-classification",
      labels: [
        { label: "b", score: 0.5 },
        { label: "c", score: 0.3 },
      ],
      scoreSource: "probability",
    },
  });
});
