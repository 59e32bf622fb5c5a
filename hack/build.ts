import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { build } from "esbuild";

/**
 * Bundles each program into dist/<program>/, for images and releases: one file per entry point, only native packages stay
 * outside. From a checkout nothing is bundled: Node runs the sources.
 *
 *   node hack/build.ts [--only operator|edge-agent|cli]
 */
const PROGRAMS = {
  operator: { entryPoints: { main: "operator/src/main.ts" }, external: [] as string[] },
  "edge-agent": {
    entryPoints: { main: "edge-agent/src/main.ts", worker: "edge-agent/src/engine/worker.ts" },
    external: ["onnxruntime-node"],
  },
  cli: { entryPoints: { main: "cli/src/main.ts" }, external: [] as string[] },
} as const;

const { values } = parseArgs({ options: { only: { type: "string" } } });

for (const [name, program] of Object.entries(PROGRAMS)) {
  if (values.only !== undefined && values.only !== name) continue;
  const outdir = `dist/${name}`;
  await rm(outdir, { recursive: true, force: true });
  await mkdir(outdir, { recursive: true });
  await build({
    entryPoints: program.entryPoints,
    outdir,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    external: [...program.external],
    sourcemap: "linked",
    legalComments: "linked",
    // CommonJS dependencies inside an ES module bundle still call require.
    banner: { js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);' },
    logLevel: "warning",
  });
  await writeFile(`${outdir}/package.json`, '{ "type": "module" }\n');
  console.log(`dist/${name}`);
}
if (values.only === undefined || values.only === "operator") await cp("crds", "dist/operator/crds", { recursive: true });
