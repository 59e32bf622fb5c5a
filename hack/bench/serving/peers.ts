/** The servers that are compared: how each is started, and how it is asked. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Prepared } from "./prepared.ts";
import { PEERS_DIR } from "./prepared.ts";
import type { ServerCommand } from "./server-process.ts";
import { bentoBodies, type Workload, type WorkloadId } from "./workloads.ts";

export interface ServerSpec {
  /** Stable: part of the report. */
  readonly id: string;
  readonly title: string;
  /** Processes × threads of onnxruntime. */
  readonly layout: string;
  readonly isOurs: boolean;
  readonly workloads: readonly WorkloadId[];
  /** Polls while it has nothing to do: stopped while others are measured. */
  readonly pollsWhenIdle?: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** @param port to be asked on @param spare for whatever else it opens */
  start(port: number, spare: readonly [number, number]): ServerCommand;
  ask(workload: Workload): { readonly path: string; readonly bodies: readonly string[] };
}

export interface PeerOptions {
  readonly prepared: Prepared;
  /** Of the machine; each server gets as many threads in all. */
  readonly cores: number;
  /** For files that a server wants to be started with. */
  readonly workDir: string;
}

const ALL: readonly WorkloadId[] = ["tiny", "minilm", "mixed"];
const HOST = "127.0.0.1";

export function peersOf({ prepared, cores, workDir }: PeerOptions): readonly ServerSpec[] {
  const bin = dirname(prepared.servers);
  const wide = `1×${cores}`;
  const many = `${cores}×1`;
  const environment = (threads: number, extra: Readonly<Record<string, string>> = {}) => ({
    PEER_MODELS: prepared.models,
    PEER_THREADS: String(threads),
    PYTHONPATH: PEERS_DIR,
    PYTHONDONTWRITEBYTECODE: "1",
    NO_COLOR: "1",
    ...extra,
  });
  const openInference = ({ model, bodies }: Workload, suffix = "") => ({
    path: `/v2/models/${model}${suffix}/infer`,
    bodies,
  });
  const fastapi = (workers: number): Pick<ServerSpec, "start" | "ask" | "headers" | "isOurs"> => ({
    isOurs: false,
    headers: {},
    start: (port) => ({
      command: join(bin, "uvicorn"),
      args: ["fastapi_app:app", "--host", HOST, "--port", String(port), "--workers", String(workers)].concat([
        "--no-access-log",
        "--log-level",
        "warning",
      ]),
      cwd: PEERS_DIR,
      env: environment(workers === 1 ? cores : 1),
    }),
    ask: (workload) => openInference(workload),
  });
  const litserve = (
    batch: number,
  ): Pick<ServerSpec, "start" | "ask" | "headers" | "isOurs" | "pollsWhenIdle"> => ({
    isOurs: false,
    headers: {},
    pollsWhenIdle: true,
    start: (port) => ({
      command: prepared.servers,
      args: ["litserve_app.py"],
      cwd: PEERS_DIR,
      env: environment(cores, { PEER_PORT: String(port), PEER_BATCH: String(batch), LITSERVE_DISABLE: "1" }),
    }),
    ask: (workload) => openInference(workload),
  });
  const bentoml: ServerSpec = {
    id: "bentoml",
    title: "BentoML, adaptive batching",
    layout: wide,
    isOurs: false,
    workloads: ALL,
    headers: {},
    start: (port) => ({
      command: join(bin, "bentoml"),
      args: ["serve", "bentoml_app:Peer", "--host", HOST, "--port", String(port)],
      cwd: PEERS_DIR,
      env: environment(cores, { BENTOML_DO_NOT_TRACK: "True", BENTOML_HOME: join(workDir, "bentoml") }),
    }),
    ask: (workload) => ({ path: `/${workload.model}`, bodies: bentoBodies(workload) }),
  };
  const peers: ServerSpec[] = [
    {
      id: "fastapi-1",
      title: "FastAPI + onnxruntime, 1 process",
      layout: wide,
      workloads: ALL,
      ...fastapi(1),
    },
    {
      id: "fastapi-n",
      title: `FastAPI + onnxruntime, ${cores} processes`,
      layout: many,
      workloads: ALL,
      ...fastapi(cores),
    },
    {
      id: "kserve",
      title: `KServe Python server, ${cores} workers`,
      layout: many,
      isOurs: false,
      workloads: ALL,
      headers: {},
      start: (port) => ({
        command: prepared.servers,
        args: ["kserve_app.py"],
        cwd: PEERS_DIR,
        env: environment(1, { PEER_PORT: String(port), PEER_WORKERS: String(cores) }),
      }),
      ask: (workload) => openInference(workload),
    },
    { id: "litserve", title: "LitServe", layout: wide, workloads: ALL, ...litserve(1) },
    {
      id: "litserve-batch",
      title: "LitServe, batches padded to the longest",
      layout: wide,
      workloads: ALL,
      ...litserve(32),
    },
    bentoml,
    {
      ...bentoml,
      id: "bentoml-single",
      title: "BentoML, no batching",
      workloads: ["mixed"],
      ask: (workload) => ({ path: `/${workload.model}_single`, bodies: bentoBodies(workload) }),
    },
  ];
  if (prepared.mlserver !== null) {
    const python = prepared.mlserver;
    const mlserver = (
      batches: boolean,
    ): Pick<ServerSpec, "start" | "ask" | "headers" | "isOurs" | "layout"> => ({
      isOurs: false,
      layout: wide,
      headers: {},
      start: (port, spare) => {
        const folder = join(workDir, batches ? "mlserver" : "mlserver-single");
        writeMlserverSettings(folder, [port, ...spare], batches);
        return {
          command: join(dirname(python), "mlserver"),
          args: ["start", folder],
          cwd: PEERS_DIR,
          env: environment(cores),
        };
      },
      ask: (workload) => openInference(workload),
    });
    peers.push(
      { id: "mlserver", title: "MLServer, adaptive batching", workloads: ALL, ...mlserver(true) },
      { id: "mlserver-single", title: "MLServer, no batching", workloads: ["mixed"], ...mlserver(false) },
    );
  }
  return peers;
}

/** Its own process for the models (`parallel_workers`) was slower in every case, so there is none. */
function writeMlserverSettings(
  folder: string,
  [http, grpc, metrics]: readonly [number, number, number],
  batches: boolean,
): void {
  const write = (path: string, settings: object) => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, JSON.stringify(settings));
  };
  write(join(folder, "settings.json"), {
    debug: false,
    host: HOST,
    http_port: http,
    grpc_port: grpc,
    metrics_port: metrics,
    parallel_workers: 0,
    use_structured_logging: false,
  });
  for (const name of ["tiny", "minilm"])
    write(join(folder, name, "model-settings.json"), {
      name,
      implementation: "mlserver_runtime.OnnxRuntime",
      ...(batches && { max_batch_size: 32, max_batch_time: 0.002 }),
    });
}
