import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ModelDirectory } from "../http/model-directory.ts";
import { readModelFolder } from "./model-folder.ts";

let root: string;
beforeEach(() => (root = mkdtempSync(path.join(tmpdir(), "autoglm-model-folder-"))));
afterEach(() => rmSync(root, { recursive: true }));

function write(folder: string, files: Readonly<Record<string, string>>): string {
  const directory = path.join(root, folder);
  mkdirSync(directory, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(directory, name), content);
  return directory;
}

describe("a model's folder", () => {
  it("is the same model alone and in a folder of models", () => {
    const directory = write("one", {
      "model.onnx": "1234",
      "pipeline.json": '{"contextLength":64}',
      LICENSE: "",
    });
    const model = readModelFolder(directory);
    expect(model).toMatchObject({ name: "one", variant: "default", directory, contextLength: 64 });
    expect(model.memoryBytes).toBe(96 * 2 ** 20 + 6);
    const served = new ModelDirectory({ serveDir: root, stored: () => [] });
    expect(served.find("one").model).toEqual(model);
  });

  it("holds variants in folders of their own, and other folders aside", () => {
    write("two/int8", { "model.onnx": "1", "pipeline.json": "{" });
    write("two/notes", { "README.md": "" });
    const served = new ModelDirectory({ serveDir: root, stored: () => [] });
    expect(served.list().map(({ model }) => [model.name, model.variant, model.contextLength])).toEqual([
      ["two", "int8", 512],
    ]);
  });

  it("is another model when a file of it changes", () => {
    const directory = write("one", { "model.onnx": "1", "pipeline.json": "{}" });
    const before = readModelFolder(directory);
    expect(readModelFolder(directory)).toEqual(before);
    write("one", { "model.onnx": "12" });
    expect(readModelFolder(directory).digest).not.toBe(before.digest);
  });

  it.each([
    ["model.onnx", { "pipeline.json": "{}" }],
    ["pipeline.json", { "model.onnx": "1" }],
  ])("is refused without %s", (missing, files) => {
    const directory = write("one", files);
    expect(() => readModelFolder(directory)).toThrow(`${directory} has no ${missing}`);
  });
});
