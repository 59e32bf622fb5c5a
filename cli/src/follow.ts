/**
 * Follows a task to its end: its state on stderr, its results on stdout, as they come.
 *
 *     watch of the task ──▶ progress lines ──▶ Complete: wait for the last result; Failed: print what there is
 *     results, page after page (the server waits) ──▶ lines
 *
 * It ends with the run that the task is in when it completes; a continuous task is followed until Ctrl-C. Nothing
 * here changes the task: stopping leaves it running.
 */
import { AutoglmError } from "@autoglm/api";
import type { Informer } from "@autoglm/kube";
import type { Cluster } from "./cluster.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { type CliIo, say } from "./io.ts";
import { type TaskObject, TASKS } from "./objects.ts";
import { renderResult, type ResultFormat } from "./render.ts";
import type { ResultsClient } from "./results-client.ts";
import { hintLine, outcomeOf, progressLine, type TaskOutcome } from "./task-view.ts";

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export interface FollowOptions {
  readonly io: CliIo;
  readonly cluster: Cluster;
  readonly results: ResultsClient;
  readonly task: TaskObject;
  readonly format: ResultFormat;
  /** Named in each line when several tasks are followed. */
  readonly label?: string | undefined;
  /** Fires on Ctrl-C and when the time is over. */
  readonly signal: AbortSignal;
}

/** @throws AutoglmError `Aborted` when the signal fires, `NotFound` when the task is deleted */
export async function followTask(options: FollowOptions): Promise<ExitCode> {
  const { io, task } = options;
  const { name, namespace = "default" } = task.metadata;
  const isContinuous = task.spec.run === "Continuous";
  const done = new AbortController();
  const signal = AbortSignal.any([options.signal, done.signal]);
  const progress = { isOver: false };
  const watching = watchTask(options, isContinuous, signal).finally(() => (progress.isOver = true));
  const printing = printResults(options, isContinuous, progress, signal);
  try {
    // Whatever breaks first ends it.
    const outcome = await Promise.race([watching, printing.then(() => watching)]);
    if (outcome === "failed") {
      say(io, `see: ${io.environment.programName} why ${name} -n ${namespace}`);
      return EXIT.taskFailed;
    }
    await printing;
    return EXIT.ok;
  } finally {
    done.abort();
    await Promise.allSettled([watching, printing]);
  }
}

/** Results of the present run, or of one run after the other. */
async function printResults(
  options: FollowOptions,
  isContinuous: boolean,
  progress: { readonly isOver: boolean },
  signal: AbortSignal,
): Promise<void> {
  const { io, results, task, format, label } = options;
  let lastTrouble = "";
  const onUnreachable = ({ message }: AutoglmError): void => {
    if (message !== lastTrouble) say(io, `${message}; trying again`);
    lastTrouble = message;
  };
  let run: number | undefined;
  for (;;) {
    const pages = { run, signal, mayComeLater: () => !progress.isOver, onUnreachable };
    for await (const page of results.follow(task.metadata.uid ?? "", pages)) {
      for (const record of page.results) io.stdout.write(`${renderResult(record, format, label)}\n`);
      run = page.run;
    }
    if (!isContinuous) return;
    run = (run ?? 0) + 1;
  }
}

async function watchTask(
  options: FollowOptions,
  isContinuous: boolean,
  signal: AbortSignal,
): Promise<TaskOutcome> {
  const { io, cluster, task } = options;
  const { name, namespace = "default", uid } = task.metadata;
  const { Informer } = await import("@autoglm/kube");
  const informer: Informer<TaskObject> = new Informer({
    client: cluster.client,
    resource: TASKS,
    selector: { namespace, fieldSelector: `metadata.name=${name}` },
    log: { ...SILENT, warn: ({ error }) => say(io, `watching ${name}: ${String(error)}; trying again`) },
  });
  const { promise, resolve, reject } = Promise.withResolvers<TaskOutcome>();
  const stop = (): void => reject(new AutoglmError("Aborted", "stopped"));
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  let lastLines = "";
  const report = (object: TaskObject): void => {
    const hint = hintLine(object);
    const lines = [progressLine(object), ...(hint === undefined ? [] : [`  ${hint}`])];
    if (lines.join() !== lastLines) for (const line of lines) say(io, line);
    lastLines = lines.join();
    const outcome = outcomeOf(object);
    if (outcome === "failed" || (outcome === "complete" && !isContinuous)) resolve(outcome);
  };
  informer.subscribe((change) => {
    if (change.object.metadata.uid !== uid) return;
    if (change.type === "deleted") reject(new AutoglmError("NotFound", `${name} was deleted`));
    else report(change.object);
  });
  const ended = new AbortController();
  void informer.run(AbortSignal.any([signal, ended.signal]));
  try {
    return await promise;
  } finally {
    ended.abort();
    signal.removeEventListener("abort", stop);
  }
}
