import { readFileSync } from "node:fs";
import { AutoglmError } from "@autoglm/api";
import { expect, test } from "vitest";
import { SourceWatch } from "./source-watch.ts";

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

async function* failing(error: unknown): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(1);
  throw error;
}

test("what a parser throws is the document's error, without what it says", () => {
  const error = thrownBy(() => JSON.parse("secret"));
  const problem = new SourceWatch().problemOf(error);
  expect(problem).toMatchObject({ code: "ItemInvalid", cause: error });
  expect(problem?.message).toContain("(SyntaxError)");
  expect(problem?.message).not.toContain("secret");
});

test("what a user can mend stays as it is, what the surroundings did is not the document's", () => {
  const watch = new SourceWatch();
  const empty = new AutoglmError("InputEmpty", "it is empty");
  expect(watch.problemOf(empty)).toBe(empty);
  expect(watch.problemOf(new AutoglmError("InputUnavailable", "cut"))).toBeUndefined();
  expect(watch.problemOf(thrownBy(() => readFileSync("/no/such/file")))).toBeUndefined();
});

test("nothing is the document's error once the source has failed", async () => {
  const watch = new SourceWatch();
  const failure = new Error("cut");
  await expect(Array.fromAsync(watch.watched(failing(failure)))).rejects.toBe(failure);
  expect(watch.problemOf(failure)).toBeUndefined();
  expect(watch.problemOf(new TypeError("what followed"))).toBeUndefined();
});

test("a source that is a file stays one", () => {
  const file = { fd: 7, size: 1 };
  expect(new SourceWatch().watched(Object.assign(failing(undefined), { file })).file).toBe(file);
});
