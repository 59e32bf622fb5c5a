import { AutoglmError, hasErrorCode } from "@autoglm/api";
import { type ConnectionOptions, findResultsEndpoint, withCluster } from "../cluster.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { followTask } from "../follow.ts";
import { type CliIo, say } from "../io.ts";
import { TASKS } from "../objects.ts";
import { renderResult, type ResultFormat } from "../render.ts";
import { ResultsClient } from "../results-client.ts";
import { outcomeOf } from "../task-view.ts";
import { formatOf } from "./run.ts";

export interface ResultsOptions extends ConnectionOptions {
  readonly output?: ResultFormat;
  readonly follow?: boolean;
  readonly run?: number;
  readonly signal: AbortSignal;
}

/** Prints results in item order, or, following, as they are accepted. */
export async function results(io: CliIo, name: string, options: ResultsOptions): Promise<ExitCode> {
  const { signal } = options;
  return withCluster(io, options, async (cluster) => {
    const task = await cluster.client.get(TASKS, { name, namespace: cluster.namespace }, { signal });
    const client = new ResultsClient(await findResultsEndpoint(cluster, signal));
    const format = formatOf(task, options.output);
    if (options.follow === true) return followTask({ io, cluster, results: client, task, format, signal });
    const query = { order: "item", ...(options.run !== undefined && { run: options.run }) } as const;
    try {
      for await (const { results: records, cursor, ledger } of client.pages(
        task.metadata.uid ?? "",
        query,
        signal,
      )) {
        for (const record of records) io.stdout.write(`${renderResult(record, format)}\n`);
        if (cursor !== undefined || ledger.complete) continue;
        say(io, `${ledger.accepted} of ${ledger.total ?? "?"} items so far; --follow waits for the rest`);
      }
    } catch (error) {
      if (!hasErrorCode(error, "NotFound")) throw error;
      // Not "none yet": the server does not tell a task that the token's owner may not get from one that it doesn't know.
      if ((task.status?.items?.accepted ?? 0) > 0) throw unreadable(name, error);
      const soFar = outcomeOf(task) === undefined ? " yet" : "";
      say(io, `${name} has no results${soFar}; see: ${io.environment.programName} why ${name}`);
    }
    return EXIT.ok;
  });
}

function unreadable(name: string, cause: unknown): AutoglmError {
  const message = `${name} has results, but the results server does not give them: the token's owner may not get the task, or the result store was lost`;
  return new AutoglmError("Forbidden", message, { cause });
}
