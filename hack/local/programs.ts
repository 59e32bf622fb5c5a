/** The bundles that `make demo` and `make up` run: what users run in images, less memory than the sources. */
import { existsSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildPrograms, type ProgramName } from "../build.ts";

/** Builds into `<dir>/dist`; returns the main file of each program. */
export async function buildLocalPrograms(
  dir: string,
  only?: readonly ProgramName[],
): Promise<(name: ProgramName) => string> {
  const programs = await buildPrograms({ only, outdir: join(dir, "dist") });
  // ONNX Runtime is native and stays outside the bundle, which looks for it in the folders above.
  const link = join(dir, "node_modules");
  if (!existsSync(link)) symlinkSync(resolve("node_modules"), link);
  return (name) => {
    const main = programs.get(name);
    if (main === undefined) throw new Error(`${name} was not built`);
    return main;
  };
}
