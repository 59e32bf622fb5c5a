// oxlint-disable typescript/no-explicit-any -- what a client sees is whatever JSON came
import path from "node:path";
import { createLogger, Metrics } from "@autoglm/telemetry";
import {
  createEngine,
  type Engine,
  type EngineOptions,
  type ModelOnDisk,
} from "../../../edge-agent/src/engine/index.ts";
import {
  HTTP_METRICS,
  startInferenceFront,
  type InferenceFrontOptions,
} from "../../../edge-agent/src/http/index.ts";
import { ModelDirectory } from "../../../edge-agent/src/http/model-directory.ts";

const fixtures = path.join(import.meta.dirname, "fixtures");

export interface TestFront extends AsyncDisposable {
  readonly url: string;
  readonly engine: Engine;
  /** As the port knows it. */
  modelOf(name: string): ModelOnDisk;
  /** @returns status, headers and the parsed body */
  ask(path: string, body?: unknown, init?: RequestInit): Promise<TestAnswer>;
  metrics(): Promise<string>;
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: Headers;
  // What a client sees is whatever JSON came.
  readonly body: any;
}

/** The agent's inference port on a free one, as in production, with the fixtures as its models. */
export async function startFront(
  options: Partial<InferenceFrontOptions> & { readonly engineOptions?: Partial<EngineOptions> } = {},
): Promise<TestFront> {
  const log = createLogger({ name: "front-test", level: "silent" });
  const { engineOptions, ...frontOptions } = options;
  const engine = createEngine({ threads: 2, memoryBudgetBytes: 4 * 2 ** 30, log, ...engineOptions });
  const metrics = new Metrics(HTTP_METRICS);
  const front = await startInferenceFront({
    host: "127.0.0.1",
    port: 0,
    token: undefined,
    tokenFile: undefined,
    requestLimitBytes: 1024 * 1024,
    connectionLimit: 256,
    timeoutMs: 30_000,
    serveDir: fixtures,
    stored: () => [],
    engine,
    metrics,
    log,
    version: "test",
    ...frontOptions,
  });
  await front.loaded;
  const url = `http://127.0.0.1:${front.port}`;
  return {
    url,
    engine,
    modelOf: (name) => new ModelDirectory({ serveDir: fixtures, stored: () => [] }).find(name).model,
    async ask(where, body, init = {}) {
      const response = await fetch(url + where, {
        ...(body !== undefined && {
          method: "POST",
          body: typeof body === "string" ? body : JSON.stringify(body),
        }),
        ...init,
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: text === "" ? undefined : JSON.parse(text),
      };
    },
    metrics: () => metrics.render(),
    async [Symbol.asyncDispose]() {
      await front.close(100);
      await engine.close();
    },
  };
}

/** Inputs of the Open Inference Protocol. */
export const input = (
  name: string,
  datatype: string,
  shape: readonly number[],
  data: readonly unknown[],
) => ({
  name,
  datatype,
  shape,
  data,
});
