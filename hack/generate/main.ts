/**
 * node hack/generate/main.ts [--check]
 *
 * Writes every file that is made from the schemas in api/. With --check it writes nothing and fails, naming the
 * files that differ, are missing, or are no longer made.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isAutoglmError } from "@autoglm/api";
import { generateFiles, GENERATED_FOLDERS } from "./files.ts";

const ROOT = join(import.meta.dirname, "../..");

async function stored(path: string): Promise<string | undefined> {
  try {
    return await readFile(join(ROOT, path), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Files in the generated folders that nothing generates any more. */
async function strayFiles(wanted: ReadonlyMap<string, string>): Promise<readonly string[]> {
  const lists = GENERATED_FOLDERS.map(async (folder) => {
    await mkdir(join(ROOT, folder), { recursive: true });
    return (await readdir(join(ROOT, folder))).map((name) => `${folder}/${name}`);
  });
  return (await Promise.all(lists)).flat().filter((path) => !wanted.has(path));
}

async function main(): Promise<number> {
  const files = generateFiles();
  const strays = await strayFiles(files);
  const changed: string[] = [];
  for (const [path, text] of files) if ((await stored(path)) !== text) changed.push(path);

  if (process.argv.includes("--check")) {
    for (const path of changed) console.error(`differs from what the schemas give: ${path}`);
    for (const path of strays) console.error(`no longer generated: ${path}`);
    if (changed.length + strays.length === 0) return 0;
    console.error("mend it with: make generate");
    return 1;
  }
  for (const path of changed) {
    await mkdir(dirname(join(ROOT, path)), { recursive: true });
    await writeFile(join(ROOT, path), files.get(path) ?? "");
    console.log(`wrote ${path}`);
  }
  for (const path of strays) {
    await rm(join(ROOT, path));
    console.log(`removed ${path}`);
  }
  console.log(`${files.size} files, ${changed.length} written, ${strays.length} removed`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!isAutoglmError(error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
