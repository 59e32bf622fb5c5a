import type { KubeObject, Resource } from "@autoglm/kube";
import { type ConnectionOptions, withCluster } from "../cluster.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import type { CliIo } from "../io.ts";
import { TASKS } from "../objects.ts";
import { type EventView, explainTask, renderExplanation } from "../task-view.ts";

/** v1 Event: the same objects as events.k8s.io, with field selectors that every API server has. */
interface Event extends KubeObject {
  readonly type?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly count?: number;
  readonly lastTimestamp?: string | null;
  readonly eventTime?: string | null;
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
}
const EVENTS: Resource<Event> = {
  group: "",
  version: "v1",
  plural: "events",
  kind: "Event",
  namespaced: true,
};
const LAST_EVENTS = 10;

export interface WhyOptions extends ConnectionOptions {
  readonly output?: "json";
  readonly signal: AbortSignal;
}

/** Why a task is in the state it is in, and what would change that. */
export async function why(io: CliIo, name: string, options: WhyOptions): Promise<ExitCode> {
  const { signal } = options;
  return withCluster(io, options, async ({ client, namespace }) => {
    const task = await client.get(TASKS, { name, namespace }, { signal });
    const fieldSelector = `involvedObject.kind=${TASKS.kind},involvedObject.uid=${task.metadata.uid ?? ""}`;
    const events = await client.list(EVENTS, { namespace, fieldSelector }, { signal });
    const views = events.items
      .map(viewOf)
      .sort((a, b) => a.time.localeCompare(b.time))
      .slice(-LAST_EVENTS);
    const explanation = explainTask(task, views);
    const isJson = options.output === "json";
    io.stdout.write(isJson ? `${JSON.stringify(explanation, null, 2)}\n` : renderExplanation(explanation));
    return EXIT.ok;
  });
}

function viewOf({
  metadata,
  type,
  reason,
  message,
  count,
  lastTimestamp,
  eventTime,
  series,
}: Event): EventView {
  const time = series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? "";
  return {
    // Some have microseconds and some have not: seconds sort and read alike.
    time: `${time.slice(0, 19)}Z`,
    type: type ?? "Normal",
    reason: reason ?? "",
    message: message ?? "",
    count: series?.count ?? count ?? 1,
  };
}
