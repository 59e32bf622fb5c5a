import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { hasErrorCode } from "@autoglm/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDataFile } from "./data-file.ts";

let folder: string;
let root: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-data-"));
  root = path.join(folder, "root");
  await mkdir(path.join(root, "in"), { recursive: true });
  await writeFile(path.join(folder, "secret"), "secret");
  await writeFile(path.join(root, "in/a.txt"), "x".repeat(200_000));
  await symlink("in/a.txt", path.join(root, "inside"));
  await symlink("../secret", path.join(root, "leaves"));
  await symlink("..", path.join(root, "in/up"));
  await mkdir(path.join(folder, "root-2"));
  await writeFile(path.join(folder, "root-2/b"), "b");
  await symlink("../root-2/b", path.join(root, "sibling"));
  execFileSync("mkfifo", [path.join(root, "pipe")]);
});
afterAll(() => rm(folder, { recursive: true }));

test.each(["in/a.txt", "inside", "./in/a.txt"])("opens %s", async (name) => {
  let bytes = 0;
  for await (const chunk of await openDataFile(root, name)) bytes += chunk.length;
  expect(bytes).toBe(200_000);
});

test.each([
  "../secret",
  "in/../../secret",
  "leaves",
  "in/up/../secret",
  "sibling",
  "/etc/hostname",
  "a\0b",
  "in\\..\\x",
])("refuses %s, which leaves the data root", async (name) => {
  const opened = openDataFile(root, name);
  await expect(opened).rejects.toSatisfy((error) => hasErrorCode(error, "InputFileOutsideDataRoot"));
});

test.each(["missing", "in", "pipe", "in/a.txt/x", "x".repeat(5000)])(
  "finds no regular file at %j",
  async (name) => {
    const opened = openDataFile(root, name);
    await expect(opened).rejects.toSatisfy((error) => hasErrorCode(error, "InputFileNotFound"));
  },
);

test("a data root that does not exist is a missing file", async () => {
  const opened = openDataFile(path.join(folder, "nothing"), "a");
  await expect(opened).rejects.toSatisfy((error) => hasErrorCode(error, "InputFileNotFound"));
});
