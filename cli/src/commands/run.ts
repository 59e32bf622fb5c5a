import { randomBytes } from "node:crypto";
import { AutoglmError } from "@autoglm/api";
import type { ConfigMap, KubeObject } from "@autoglm/kube";
import { type Cluster, type ConnectionOptions, findResultsEndpoint, withCluster } from "../cluster.ts";
import { EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { followTask } from "../follow.ts";
import { type CliIo, say } from "../io.ts";
import { type Manifest, readManifests } from "../manifests.ts";
import { FLEET_NODES, MODELS, PROMPTS, type TaskObject, TASKS } from "../objects.ts";
import type { ResultFormat } from "../render.ts";
import { ResultsClient } from "../results-client.ts";
import { type DraftOptions, draftTask } from "../task-draft.ts";

export interface RunOptions extends ConnectionOptions, DraftOptions {
  readonly detach?: boolean;
  readonly output?: ResultFormat | "name";
  /** Ctrl-C, or the end of --timeout. */
  readonly signal: AbortSignal;
}

/** Creates tasks from manifests, or one from flags; prints their ids at once; follows them unless told not to. */
export async function run(io: CliIo, inputs: readonly string[], options: RunOptions): Promise<ExitCode> {
  const isDraft = [options.type, options.model, options.file, options.nodeFile].some(
    (flag) => flag !== undefined,
  );
  if (!isDraft && inputs.length === 0) {
    throw usageError("name a manifest, or give --type or --model and some texts");
  }
  const manifests = isDraft ? [] : (await Promise.all(inputs.map((path) => readManifests(path, io)))).flat();
  return withCluster(io, options, async (cluster) => {
    // Before anything is created: a task whose results can't be read is no surprise for later.
    const endpoint = options.detach === true ? undefined : await findResultsEndpoint(cluster, options.signal);
    const tasks = isDraft
      ? [await createDraft(cluster, inputs, options)]
      : await applyManifests(io, cluster, manifests, options.signal);
    for (const task of tasks) io.stdout.write(`${idLine(task, options.output)}\n`);
    if (endpoint === undefined) return EXIT.ok;
    const results = new ResultsClient(endpoint);
    const codes = await Promise.all(
      tasks.map((task) =>
        followTask({
          io,
          cluster,
          results,
          task,
          format: formatOf(task, options.output),
          label: tasks.length > 1 ? task.metadata.name : undefined,
          signal: options.signal,
        }),
      ),
    );
    return codes.includes(EXIT.taskFailed) ? EXIT.taskFailed : EXIT.ok;
  });
}

export function formatOf(task: TaskObject, output: string | undefined): ResultFormat {
  return output === "json" || output === "text" ? output : task.spec.output.format;
}

function idLine({ metadata, spec }: TaskObject, output: RunOptions["output"]): string {
  if (output === "name") return `${TASKS.kind.toLowerCase()}.${TASKS.group}/${metadata.name}`;
  const format = output ?? spec.output.format;
  const { uid: taskId, namespace, name } = metadata;
  return format === "json" ? JSON.stringify({ taskId, namespace, name }) : (taskId ?? "");
}

/** The task and, if its input is too large for it, a ConfigMap that goes when the task goes. */
async function createDraft(
  cluster: Cluster,
  texts: readonly string[],
  options: RunOptions,
): Promise<TaskObject> {
  const { client, namespace } = cluster;
  const { signal } = options;
  const { CONFIG_MAPS } = await import("@autoglm/kube");
  const { task, input } = await draftTask({
    flags: options,
    texts,
    namespace,
    suffix: randomBytes(3).toString("hex"),
  });
  // The API server fills in what the draft leaves to it.
  const created = await client.create(TASKS, task as TaskObject, { signal });
  if (input === undefined) return created;
  const { name, uid = "" } = created.metadata;
  const { apiVersion, kind } = created;
  const owned: ConfigMap = {
    ...input,
    metadata: { ...input.metadata, ownerReferences: [{ apiVersion, kind, name, uid }] },
  };
  try {
    await client.create(CONFIG_MAPS, owned, { signal });
  } catch (cause) {
    await client.delete(TASKS, { name, namespace }, { uid });
    throw cause;
  }
  return created;
}

/** Applies them in order, what tasks need first; returns the tasks. */
async function applyManifests(
  io: CliIo,
  { client, namespace }: Cluster,
  manifests: readonly Manifest[],
  signal: AbortSignal,
): Promise<TaskObject[]> {
  const { CONFIG_MAPS } = await import("@autoglm/kube");
  const inNamespace = <T extends KubeObject>(object: T): T => ({
    ...object,
    metadata: { namespace, ...object.metadata },
  });
  const tasks: TaskObject[] = [];
  const order = ["AutoGLMNode", "AutoGLMModel", "AutoGLMPrompt", "ConfigMap", "AutoGLMTask"];
  for (const { kind, object } of manifests.toSorted(
    (a, b) => order.indexOf(a.kind) - order.indexOf(b.kind),
  )) {
    switch (kind) {
      case "AutoGLMNode":
        await client.apply<KubeObject>(FLEET_NODES, object, { signal });
        break;
      case "AutoGLMModel":
        await client.apply<KubeObject>(MODELS, object, { signal });
        break;
      case "AutoGLMPrompt":
        await client.apply<KubeObject>(PROMPTS, inNamespace(object), { signal });
        break;
      case "ConfigMap":
        await client.apply(CONFIG_MAPS, inNamespace(object), { signal });
        break;
      case "AutoGLMTask":
        // Checked by manifests.ts; defaults are the API server's.
        tasks.push(await client.apply(TASKS, inNamespace(object as TaskObject), { signal }));
        continue;
    }
    say(io, `${kind} ${object.metadata.name} applied`);
  }
  if (tasks.length === 0) throw new AutoglmError("InvalidOption", "none of the manifests is an AutoGLMTask");
  return tasks;
}
