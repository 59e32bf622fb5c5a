/** Raw onnxruntime-node beside the servers: processes × threads = cores, in two layouts, of which the faster one counts. */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { RawAnswer, RawRequest } from "./raw-process.ts";
import type { InferenceRequest, Workload, WorkloadId } from "./workloads.ts";

/** Rows of one run: where more gain nothing (tiny), the figure that serving is held against (MiniLM), none (mixed). */
export const RAW_BATCH: Readonly<Record<WorkloadId, number>> = { tiny: 32, minilm: 8, mixed: 1 };

export interface RawLayout {
  readonly title: string;
  readonly processes: number;
  readonly threads: number;
}

export const rawLayouts = (cores: number): readonly RawLayout[] => [
  { title: `${cores}×1`, processes: cores, threads: 1 },
  ...(cores > 1 ? [{ title: `1×${cores}`, processes: 1, threads: cores }] : []),
];

export interface RawRate {
  readonly perSecond: number;
  readonly cpuMsPerRow: number;
}

export class RawRuns {
  readonly #children: readonly ChildProcess[];

  private constructor(children: readonly ChildProcess[]) {
    this.#children = children;
  }

  static async start(directory: string, workload: Workload, layout: RawLayout): Promise<RawRuns> {
    const size = RAW_BATCH[workload.id];
    const { requests } = workload;
    const batches: (readonly InferenceRequest[])[] = [];
    for (let at = 0; at < requests.length; at += size) batches.push(requests.slice(at, at + size));
    const children = Array.from({ length: layout.processes }, () =>
      fork(join(import.meta.dirname, "raw-process.ts"), { serialization: "advanced", execArgv: [] }),
    );
    const runs = new RawRuns(children);
    await Promise.all(
      children.map((child, index) => {
        // Not all the same rows at the same time.
        const turned = [...batches.slice(index * 3), ...batches.slice(0, index * 3)];
        return ask(child, { kind: "load", directory, threads: layout.threads, batches: turned });
      }),
    );
    return runs;
  }

  async run(seconds: number): Promise<RawRate> {
    const answers = await Promise.all(this.#children.map((child) => ask(child, { kind: "run", seconds })));
    const rows = answers.reduce((sum, answer) => sum + answer.rows, 0);
    const cpu = answers.reduce((sum, answer) => sum + answer.cpuMs, 0);
    const rate = answers.reduce((sum, answer) => sum + (answer.rows * 1000) / answer.ms, 0);
    return { perSecond: rate, cpuMsPerRow: cpu / rows };
  }

  stop(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }
}

function ask(child: ChildProcess, request: RawRequest): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const end = () => reject(new Error(`a process of raw onnxruntime-node failed at ${request.kind}`));
    child.once("exit", end);
    child.once("message", (answer: RawAnswer) => {
      child.off("exit", end);
      resolve(answer);
    });
    child.send(request);
  });
}
