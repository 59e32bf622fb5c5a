import { runCli } from "../../cli/src/index.ts";

/** The command in this process, with neither a cluster nor a terminal. */
export async function runCliAlone(...args: string[]) {
  let [stdout, stderr] = ["", ""];
  const exitCode = await runCli(args, {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    stdin: (async function* () {})(),
    environment: {
      programName: "autoglm",
      kubeconfig: "/nowhere",
      resultsUrl: undefined,
      token: undefined,
      hasColour: false,
    },
    signal: AbortSignal.timeout(120_000),
  });
  return { exitCode, stdout, stderr };
}
