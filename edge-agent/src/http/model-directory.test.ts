import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { hasErrorCode } from "@autoglm/api";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ModelDirectory } from "./model-directory.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-serve-"));
  await chmod(folder, 0o755);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function addModel(...names: readonly string[]): Promise<void> {
  const directory = path.join(folder, ...names);
  await mkdir(directory, { recursive: true });
  await writeFile(path.join(directory, "model.onnx"), "a model");
}

/** Root reads everything: it is somebody else meanwhile. */
function asNobody<T>(read: () => T): T {
  if (process.geteuid?.() !== 0) return read();
  process.seteuid?.(65_534);
  try {
    return read();
  } finally {
    process.seteuid?.(0);
  }
}

const served = () =>
  new ModelDirectory({ serveDir: folder, stored: () => [] })
    .list()
    .map(({ model }) => `${model.name}/${model.variant}`);

it("passes over what is no model, and what can't be read", async () => {
  await addModel("one");
  await addModel("two", "int8");
  await mkdir(path.join(folder, "empty"));
  await symlink(path.join(folder, "gone"), path.join(folder, "dangling"));
  await symlink("circle", path.join(folder, "circle"));
  await symlink(path.join(folder, "gone"), path.join(folder, "two", "dangling"));
  const closed = [path.join(folder, "lost+found"), path.join(folder, "two", "closed")];
  for (const directory of closed) await mkdir(directory, { mode: 0 });
  const found = asNobody(served);
  // So that they can be deleted.
  for (const directory of closed) await chmod(directory, 0o755);
  expect(found).toEqual(["one/default", "two/int8"]);
});

it("says that the folder itself can't be read", () => {
  expect(() => new ModelDirectory({ serveDir: path.join(folder, "gone"), stored: () => [] })).toThrow(
    expect.toSatisfy((error: unknown) => hasErrorCode(error, "InvalidOption")),
  );
});
