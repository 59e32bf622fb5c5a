import { homedir } from "node:os";
import { basename, join } from "node:path";

/** Everything that the CLI takes from its surroundings, read once. */
export interface Environment {
  /** `autoglm`, or `kubectl autoglm` when kubectl runs it. */
  readonly programName: string;
  /** As KUBECONFIG has it: one path, or several joined. */
  readonly kubeconfig: string;
  readonly resultsUrl: string | undefined;
  readonly token: string | undefined;
  /** Whether stderr takes colour: a terminal, and neither NO_COLOR nor CI. */
  readonly hasColour: boolean;
}

/** The only reader of the environment. */
export function readEnvironment({
  env,
  argv,
  stderr,
}: Pick<NodeJS.Process, "env" | "argv"> & { readonly stderr: { readonly isTTY?: boolean } }): Environment {
  const isSet = (name: string) => (env[name] ?? "") !== "";
  return Object.freeze({
    programName: basename(argv[1] ?? "").startsWith("kubectl-autoglm") ? "kubectl autoglm" : "autoglm",
    kubeconfig: env["KUBECONFIG"] || join(homedir(), ".kube", "config"),
    resultsUrl: env["AUTOGLM_RESULTS_URL"] || undefined,
    token: env["AUTOGLM_TOKEN"] || undefined,
    hasColour: stderr.isTTY === true && !isSet("NO_COLOR") && !isSet("CI"),
  });
}
