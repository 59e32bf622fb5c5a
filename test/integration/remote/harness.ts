import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { EndpointWorkModel, ItemResult, TaskType, WorkPrompt } from "@autoglm/api";
import { createLogger } from "@autoglm/telemetry";
import type { ParsedItem } from "../../../edge-agent/src/parse/index.ts";
import { RemoteEngine, type RemoteEngineOptions } from "../../../edge-agent/src/remote/index.ts";
import { OpenAiServer, type OpenAiServerOptions } from "../../support/openai-server/server.ts";
import { promptsFor } from "../../support/prompt-library.ts";

export const KEY = "id.0123456789abcdef";

export interface RemoteSite extends AsyncDisposable {
  readonly server: OpenAiServer;
  readonly engine: RemoteEngine;
  readonly model: EndpointWorkModel;
  readonly folder: string;
  /** Another agent on the same folder. */
  restart(): RemoteEngine;
}

/** A server, and an agent's engine with a key for it; pauses between retries are short. */
export async function startSite(
  options: OpenAiServerOptions,
  more: Partial<RemoteEngineOptions> & {
    readonly maxConcurrency?: number;
    readonly contextLength?: number;
  } = {},
): Promise<RemoteSite> {
  const { maxConcurrency = 4, contextLength = 8192, ...engineOptions } = more;
  const folder = await mkdtemp(path.join(tmpdir(), "autoglm-remote-"));
  await writeFile(path.join(folder, "test-key"), `${KEY}\n`);
  const server = await OpenAiServer.start(options);
  const newEngine = () =>
    new RemoteEngine({
      keysFolder: folder,
      stateFolder: path.join(folder, "endpoints"),
      log: createLogger({ name: "remote-test", level: "silent" }),
      silenceMs: 5000,
      rules: { maxAttempts: 4, firstPauseMs: 2, longestPauseMs: 10 },
      ...engineOptions,
    });
  const engine = newEngine();
  return {
    server,
    engine,
    model: {
      name: "glm-test",
      variant: "hosted",
      runtime: "openai",
      contextLength,
      memoryBytes: 0,
      endpoint: {
        url: server.url,
        model: "test-model",
        maxConcurrency,
        ...(options.key !== undefined && { keyName: "test-key" }),
      },
    },
    folder,
    restart: newEngine,
    async [Symbol.asyncDispose]() {
      await engine.close();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function* itemsOf(texts: Iterable<string>): AsyncGenerator<ParsedItem> {
  let item = 0;
  for (const text of texts) yield { item: item++, text };
}

export interface Ask {
  readonly type?: TaskType;
  readonly parameters?: Parameters<RemoteEngine["infer"]>[0]["parameters"];
  readonly prompts?: readonly WorkPrompt[];
  readonly signal?: AbortSignal;
}

/** Results by item, and what ended the run. */
export async function ask(
  { engine, model }: Pick<RemoteSite, "engine" | "model">,
  texts: Iterable<string> | AsyncIterable<ParsedItem>,
  { type = "text-generation", parameters = {}, prompts, signal = AbortSignal.timeout(30_000) }: Ask = {},
): Promise<{ readonly results: ItemResult[]; readonly error: unknown }> {
  const results: ItemResult[] = [];
  const items = Symbol.asyncIterator in texts ? texts : itemsOf(texts);
  const chosen = prompts ?? promptsFor(type, parameters.candidateLabels);
  let error: unknown;
  try {
    for await (const result of engine.infer({ model, type, items, parameters, prompts: chosen, signal })) {
      results[result.item] = result;
    }
  } catch (thrown) {
    error = thrown;
  }
  return { results, error };
}
