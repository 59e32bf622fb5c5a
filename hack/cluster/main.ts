/**
 * node hack/cluster/main.ts up|down|status [--dir .autoglm/cluster] [--kubeconfig FILE] [--use-kubeconfig FILE]
 *
 * Progress goes to stderr. `up` prints the path of the kubeconfig, `status` one line for each process.
 * Exit codes: 0 done, 1 failed (`status`: something is down), 2 wrong usage.
 */
import { parseArgs } from "node:util";
import { adoptCluster, clusterStatus, startCluster, stopCluster } from "./cluster.ts";

const USAGE =
  "usage: node hack/cluster/main.ts up|down|status [--dir .autoglm/cluster] [--kubeconfig FILE] [--use-kubeconfig FILE]";

function say(line: string): void {
  process.stderr.write(`[cluster] ${line}\n`);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dir: { type: "string", default: ".autoglm/cluster" },
      kubeconfig: { type: "string" },
      "use-kubeconfig": { type: "string" },
    },
  });
  const { dir, kubeconfig: kubeconfigPath, "use-kubeconfig": theirs } = values;
  switch (positionals.join(" ")) {
    case "up": {
      if (theirs !== undefined) {
        console.log(await adoptCluster(dir, theirs, kubeconfigPath));
        return 0;
      }
      const cluster = await startCluster({
        dir,
        say,
        ...(kubeconfigPath === undefined ? {} : { kubeconfigPath }),
      });
      say(`ready: ${cluster.serverUrl}`);
      console.log(cluster.kubeconfigPath);
      return 0;
    }
    case "down":
      await stopCluster(dir);
      say("stopped, nothing is left");
      return 0;
    case "status": {
      const { processes, kubeconfigPath: written } = clusterStatus(dir);
      for (const one of processes) console.log(`${one.name}\t${one.pid}\t${one.alive ? "running" : "down"}`);
      return written !== undefined && processes.every((one) => one.alive) ? 0 : 1;
    }
    default:
      console.error(USAGE);
      return 2;
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
