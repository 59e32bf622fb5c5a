/**
 * Bundles each program into dist/<program>/, for images, releases and what starts many processes: a bundle starts faster
 * and needs less memory than stripping types from every source file. Only native packages stay outside: a bundle of the
 * agent runs where `node_modules/onnxruntime-node` lies beside it or in a folder above it.
 *
 *   node hack/build.ts [--only operator|edge-agent|cli] [--outdir dist]
 */
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const PROGRAMS = {
  operator: { entryPoints: { main: "operator/src/main.ts" }, external: [] },
  // The engine forks worker.js, and documents are parsed in a thread of parse-worker.js: both are looked for beside main.js.
  "edge-agent": {
    entryPoints: {
      main: "edge-agent/src/main.ts",
      worker: "edge-agent/src/engine/worker.ts",
      offline: "edge-agent/src/offline.ts",
      "parse-worker": "edge-agent/src/parse/worker.ts",
    },
    external: ["onnxruntime-node", "sharp"],
  },
  cli: { entryPoints: { main: "cli/src/main.ts" }, external: [] },
} satisfies Record<string, { entryPoints: Record<string, string>; external: string[] }>;

export type ProgramName = keyof typeof PROGRAMS;
export const PROGRAM_NAMES = Object.keys(PROGRAMS) as readonly ProgramName[];

export interface BuildOptions {
  /** Default: all of them. */
  readonly only?: readonly ProgramName[] | undefined;
  /** Default: dist/ of the checkout. Each program's folder below it is replaced. */
  readonly outdir?: string | undefined;
}

const ROOT = resolve(import.meta.dirname, "..");

/** Returns the main file of each program that was built. Throws esbuild's error, which names the source line. */
export async function buildPrograms(options: BuildOptions = {}): Promise<ReadonlyMap<ProgramName, string>> {
  const { only = PROGRAM_NAMES, outdir = join(ROOT, "dist") } = options;
  const mains = new Map<ProgramName, string>();
  for (const name of only) {
    const folder = join(resolve(outdir), name);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await build({
      ...PROGRAMS[name],
      absWorkingDir: ROOT,
      outdir: folder,
      bundle: true,
      platform: "node",
      target: "node24",
      format: "esm",
      // Names and line breaks stay, so a stack trace can be read without a source map.
      minify: false,
      legalComments: "linked",
      // CommonJS dependencies inside a module still call require.
      banner: {
        js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
      },
      logLevel: "warning",
    });
    // The operator looks for its library of prompts beside its own file.
    if (name === "operator") await cp(join(ROOT, "prompts"), join(folder, "prompts"), { recursive: true });
    // So does the agent for the network of its gate.
    if (name === "edge-agent") {
      for (const file of ["model.onnx", "pipeline.json"]) {
        await cp(join(ROOT, "models/gate", file), join(folder, "gate", file));
      }
    }
    // And the command line for the converter of checkpoints.
    if (name === "cli") {
      for (const part of ["build", "requirements.txt", "importer"])
        await cp(join(ROOT, "models", part), join(folder, "models", part), { recursive: true });
      for (const module of ["__init__.py", "groups.py", "cache.py", "onnx_graph.py"])
        await cp(join(ROOT, "models/recipes", module), join(folder, "models/recipes", module));
    }
    await writeFile(join(folder, "package.json"), '{ "type": "module" }\n');
    mains.set(name, join(folder, "main.js"));
  }
  return mains;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: "string", multiple: true }, outdir: { type: "string" } },
  });
  const only = values.only?.map((name) => {
    const program = PROGRAM_NAMES.find((one) => one === name);
    if (program === undefined) throw new Error(`no program "${name}": one of ${PROGRAM_NAMES.join(", ")}`);
    return program;
  });
  for (const file of (await buildPrograms({ only, outdir: values.outdir })).values()) console.log(file);
}

if (import.meta.main) await main();
