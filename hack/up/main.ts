/**
 * node hack/up/main.ts up|down [--dir .autoglm]
 *
 * A whole installation on this machine: real control plane, NATS, operator, ingester, four nodes with agents. `down`
 * ends only what `up` started, and removes the folder.
 */
import { parseArgs } from "node:util";
import { DEFAULT_DIR, down, up } from "./installation.ts";

const say = (line: string) => void process.stderr.write(`[up] ${line}\n`);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { dir: { type: "string", default: DEFAULT_DIR } },
  });
  switch (positionals.join(" ")) {
    case "up": {
      const { kubeconfigPath, binDir } = await up({ dir: values.dir, say });
      console.log(`
Ready. Next:

  export KUBECONFIG=${kubeconfigPath}
  ${binDir}/kubectl get autoglmnodes
  ${binDir}/kubectl apply -f examples/
  ${binDir}/kubectl wait --for=condition=Complete autoglmtask --all --timeout=120s
  ${binDir}/kubectl get autoglmtasks
  ${binDir}/autoglm results sentiment-reviews -o text
  make down
`);
      return 0;
    }
    case "down":
      await down(values.dir);
      say("stopped, nothing is left");
      return 0;
    default:
      console.error("usage: node hack/up/main.ts up|down [--dir .autoglm]");
      return 2;
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
