/** Raw onnxruntime-node beside the servers: processes × threads = cores, in two layouts, of which the faster one counts. */
import { join } from "node:path";
import type { ExecutionProvider } from "../../../edge-agent/src/engine/onnx-session.ts";
import { AskedProcess } from "../asked-process.ts";
import type { RawAnswer, RawRequest } from "./raw-process.ts";
import type { InferenceRequest, Workload, WorkloadId } from "./workloads.ts";

/** Rows of one run: where more gain nothing (tiny), the figure that serving is held against (MiniLM), none (mixed). */
export const RAW_BATCH: Readonly<Record<WorkloadId, number>> = { tiny: 32, minilm: 8, mixed: 1 };

export interface RawLayout {
  readonly title: string;
  readonly processes: number;
  readonly threads: number;
  /** Rows of one run; default {@link RAW_BATCH}. */
  readonly rows?: number;
  /** Default: the processor. */
  readonly executionProvider?: ExecutionProvider;
}

export const rawLayouts = (cores: number): readonly RawLayout[] => [
  { title: `${cores}×1`, processes: cores, threads: 1 },
  ...(cores > 1 ? [{ title: `1×${cores}`, processes: 1, threads: cores }] : []),
];

export interface RawRate {
  readonly perSecond: number;
  readonly cpuMsPerRow: number;
}

type RawProcess = AskedProcess<RawRequest, RawAnswer>;

export class RawRuns {
  readonly #processes: readonly RawProcess[];

  private constructor(processes: readonly RawProcess[]) {
    this.#processes = processes;
  }

  static async start(directory: string, workload: Workload, layout: RawLayout): Promise<RawRuns> {
    const size = layout.rows ?? RAW_BATCH[workload.id];
    const { requests } = workload;
    const batches: (readonly InferenceRequest[])[] = [];
    for (let at = 0; at < requests.length; at += size) batches.push(requests.slice(at, at + size));
    const program = join(import.meta.dirname, "raw-process.ts");
    const processes = await Promise.all(
      Array.from({ length: layout.processes }, () => AskedProcess.start<RawRequest, RawAnswer>(program)),
    );
    await Promise.all(
      processes.map((process, index) => {
        // Not all the same rows at the same time.
        const turned = [...batches.slice(index * 3), ...batches.slice(0, index * 3)];
        const { threads, executionProvider = "cpu" } = layout;
        return process.ask({ kind: "load", directory, threads, executionProvider, batches: turned });
      }),
    );
    return new RawRuns(processes);
  }

  async run(seconds: number): Promise<RawRate> {
    const answers = await Promise.all(
      this.#processes.map((process) => process.ask({ kind: "run", seconds })),
    );
    const rows = answers.reduce((sum, answer) => sum + answer.rows, 0);
    const cpu = answers.reduce((sum, answer) => sum + answer.cpuMs, 0);
    const rate = answers.reduce((sum, answer) => sum + (answer.rows * 1000) / answer.ms, 0);
    return { perSecond: rate, cpuMsPerRow: cpu / rows };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.stop()));
  }
}
