/** The agent's inference port, as `edge-agent/src/serve.ts` opens it: with a token, with validation, with metrics. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { ServerCommand } from "./server-process.ts";
import type { ServerSpec } from "./peers.ts";

export const AGENT_TOKEN = "benchmark-token-0123456789abcdef";

const CONTRACTS = {
  tiny: {
    kind: "tensor",
    batchAxis: 0,
    inputs: [{ name: "x", datatype: "FP32", shape: [-1, 512] }],
    outputs: [{ name: "y", datatype: "FP32", shape: [-1, 3] }],
  },
  minilm: {
    kind: "tensor",
    batchAxis: 0,
    paddedAxis: 1,
    inputs: ["input_ids", "attention_mask", "token_type_ids"].map((name) => ({
      name,
      datatype: "INT64",
      shape: [-1, -1],
    })),
    outputs: [{ name: "sentence_embedding", datatype: "FP32", shape: [-1, 384] }],
  },
} as const;

/** @param models as `peers/prepare.py` makes them @returns the folder to serve */
export function layOutModels(models: string, folder: string): string {
  for (const [name, contract] of Object.entries(CONTRACTS)) {
    const directory = join(folder, name);
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    symlinkSync(join(models, name, "model.onnx"), join(directory, "model.onnx"));
    writeFileSync(join(directory, "pipeline.json"), JSON.stringify(contract));
  }
  return folder;
}

export interface AgentOptions {
  readonly serveDir: string;
  readonly cores: number;
  /** Default: the agent's own, throughput. */
  readonly performanceHint?: "latency";
  /** Default: the agent's own, cpu. */
  readonly executionProviders?: "cuda,cpu";
}

/** @param healthPort of health and metrics */
export function agentCommand(
  port: number,
  healthPort: number,
  { serveDir, cores, performanceHint, executionProviders }: AgentOptions,
): ServerCommand {
  return {
    command: process.execPath,
    args: [resolve("edge-agent/src/serve.ts")],
    cwd: resolve("."),
    env: {
      AUTOGLM_SERVE_DIR: serveDir,
      AUTOGLM_HTTP_PORT: String(port),
      AUTOGLM_HTTP_TOKEN: AGENT_TOKEN,
      AUTOGLM_HEALTH_HOST: "127.0.0.1",
      AUTOGLM_HEALTH_PORT: String(healthPort),
      AUTOGLM_THREADS: String(cores),
      AUTOGLM_LOG_LEVEL: "warn",
      ...(performanceHint !== undefined && { AUTOGLM_PERFORMANCE_HINT: performanceHint }),
      ...(executionProviders !== undefined && { AUTOGLM_EXECUTION_PROVIDERS: executionProviders }),
    },
  };
}

export function agentSpec(options: AgentOptions): ServerSpec {
  const { performanceHint, executionProviders, cores } = options;
  const variant = performanceHint ?? executionProviders?.split(",", 1)[0];
  return {
    id: variant === undefined ? "autoglm" : `autoglm-${variant}`,
    title: variant === undefined ? "AutoGLM agent" : `AutoGLM agent, ${variant}`,
    layout: variant === undefined ? `${cores}×1` : `1×${cores}`,
    isOurs: true,
    workloads: ["tiny", "minilm", "mixed"],
    headers: { authorization: `Bearer ${AGENT_TOKEN}` },
    start: (port, [healthPort]) => agentCommand(port, healthPort, options),
    ask: ({ model, bodies }) => ({ path: `/v2/models/${model}/infer`, bodies }),
  };
}
