import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type DraftOptions, draftTask } from "./task-draft.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "autoglm-cli-"));
  writeFileSync(join(dir, "lines.txt"), "first\n\n第二\r\n");
  writeFileSync(join(dir, "reviews.csv"), "id,review\n1,good\n");
  writeFileSync(join(dir, "many.txt"), "x\n".repeat(2000));
  writeFileSync(join(dir, "huge.txt"), "x".repeat(1_100_000));
  writeFileSync(join(dir, "latin.txt"), Buffer.from([0x66, 0xfc, 0x72]));
});
afterAll(() => rmSync(dir, { recursive: true }));

const draft = (flags: DraftOptions, texts: readonly string[] = []) =>
  draftTask({ flags, texts, namespace: "default", suffix: "abc123" });

it("makes a task of texts, with the name made up and only the flags that were given", async () => {
  const { task, input } = await draft({ type: "ner", tier: "6Gi" }, ["张三在北京", "b"]);
  expect(task).toEqual({
    apiVersion: "autoglm.io/v1alpha1",
    kind: "AutoGLMTask",
    metadata: { name: "ner-abc123", namespace: "default" },
    spec: { type: "ner", placement: { tier: "6Gi" }, input: { inline: ["张三在北京", "b"] } },
  });
  expect(input).toBeUndefined();
});

it("puts a small text file into the task, line by line", async () => {
  const { task } = await draft({ type: "ner", file: join(dir, "lines.txt") });
  expect(task.spec.input).toEqual({ inline: ["first", "第二"] });
});

it.each(["reviews.csv", "many.txt"])("brings %s as a ConfigMap", async (file) => {
  const { task, input } = await draft({
    model: "m",
    name: "reviews",
    file: join(dir, file),
    field: "review",
  });
  expect(task.spec).toMatchObject({
    input: { configMapRef: { name: "reviews-input" } },
    inputField: "review",
  });
  expect(input?.metadata).toEqual({ name: "reviews-input", namespace: "default" });
  expect(Object.keys(input?.data ?? {})).toEqual([file]);
});

it("refers to a file on the node", async () => {
  expect((await draft({ type: "ner", nodeFile: "news.jsonl" })).task.spec.input).toEqual({
    file: "news.jsonl",
  });
});

it.each([
  [{ type: "ner" }, [], "give the input once"],
  [{ type: "ner", nodeFile: "a" }, ["b"], "give the input once"],
  [{ type: "ner", nodeFile: "../a" }, [], "input.file"],
  [{ type: "auto", nodeFile: "a" }, [], "type"],
  [{ type: "ner", file: "/nowhere" }, [], "can't be read"],
  [{ type: "ner" }, ["", " "], "no text"],
  [{ type: "ner" }, ["x".repeat(9000)], "spec.input.inline.0"],
] as const)("refuses %j with %j", async (flags, texts, message) => {
  await expect(draft(flags, texts)).rejects.toMatchObject({
    code: "InvalidOption",
    message: expect.stringContaining(message) as string,
  });
});

it("says what to do with a file that is too large or no UTF-8", async () => {
  for (const file of ["huge.txt", "latin.txt"]) {
    await expect(draft({ type: "ner", file: join(dir, file) })).rejects.toMatchObject({
      details: { hint: expect.stringContaining("--node-file") as string },
    });
  }
});
