/** Paths to what answers them. */
import type { Engine } from "../engine/index.ts";
import type { Exchange, ProblemForm } from "./exchange.ts";
import { OPEN_INFERENCE_FORM } from "./exchange.ts";
import { serveTypedInference } from "./typed-inference.ts";
import type { ModelDirectory, ServedEntry } from "./model-directory.ts";
import { describeModel, infer } from "./open-inference.ts";
import { OPENAI_FORM, createOpenAiRoutes } from "./openai.ts";
import { HttpProblem } from "./problems.ts";

export interface RouteDependencies {
  readonly engine: Engine;
  readonly models: ModelDirectory;
  readonly timeoutMs: number;
  readonly version: string;
  /** Why the agent should get no requests now. */
  readonly notReady: () => string | undefined;
}

export interface Route {
  /** For metrics. */
  readonly name: string;
  readonly method: "GET" | "POST";
  readonly form: ProblemForm;
  /** For metrics; a model that exists. */
  readonly model?: string;
  /** @param body empty for `GET`, whatever was sent with it */
  readonly answer: (exchange: Exchange, body: Buffer) => Promise<void> | undefined | void;
}

type Answer = Route["answer"];

/** Whether the path is known, and how each method is answered. */
export type RouteTable = (path: string) => readonly Route[];

/** Answered without a token: probes, and what they find out about the server. */
const PUBLIC_PATHS: ReadonlySet<string> = new Set(["/v2", "/v2/health/live", "/v2/health/ready"]);

export const isPublicPath = (path: string): boolean => PUBLIC_PATHS.has(path);

const MODEL_PATH = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(\/ready|\/infer)?$/;
const REPOSITORY_PATH = /^\/v2\/repository\/models\/([^/]+)\/(load|unload)$/;
/** Paths that were resolved are kept; names that do not exist are not worth it. */
const MOST_PATHS = 1000;

export function createRoutes(dependencies: RouteDependencies): RouteTable {
  const fixed = fixedRoutes(dependencies);
  const infers = new Map<string, { readonly entry: ServedEntry; readonly routes: readonly Route[] }>();
  return (path) => {
    const known = infers.get(path);
    const { models } = dependencies;
    if (known !== undefined && models.find(known.entry.model.name, known.entry.model.variant) === known.entry)
      return known.routes;
    const routes = fixed.get(path) ?? repositoryRoutes(dependencies, path);
    if (routes !== undefined) return routes;
    const match = MODEL_PATH.exec(path);
    if (match === null) return [];
    const [, name = "", variant, action] = match;
    const entry = models.find(decode(name), variant === undefined ? undefined : decode(variant));
    const found = [modelRoute(dependencies, entry, action)];
    if (infers.size >= MOST_PATHS) infers.clear();
    infers.set(path, { entry, routes: found });
    return found;
  };
}

function fixedRoutes(dependencies: RouteDependencies): ReadonlyMap<string, readonly Route[]> {
  const { models, engine, version, notReady } = dependencies;
  const get = (name: string, answer: Answer): Route[] => [
    { name, method: "GET", form: OPEN_INFERENCE_FORM, answer },
  ];
  const post = (name: string, form: ProblemForm, answer: Answer): Route[] => [
    { name, method: "POST", form, answer },
  ];
  const openAi = createOpenAiRoutes(dependencies);
  const extensions = ["binary_tensor_data", "model_repository", "schedule_policy"];
  return new Map([
    [
      "/v2",
      get("server", (exchange) =>
        exchange.sendJson(JSON.stringify({ name: "autoglm-edge-agent", version, extensions })),
      ),
    ],
    ["/v2/health/live", get("live", (exchange) => exchange.sendJson('{"live":true}'))],
    [
      "/v2/health/ready",
      get("ready", (exchange) => {
        const reason = notReady();
        if (reason === undefined) exchange.sendJson('{"ready":true}');
        else exchange.sendJson(JSON.stringify({ ready: false, reason }), 503);
      }),
    ],
    [
      "/v2/repository/index",
      post("repository-index", OPEN_INFERENCE_FORM, (exchange) => {
        models.refresh();
        exchange.sendJson(JSON.stringify(models.list().map((entry) => indexEntry(engine, entry))));
      }),
    ],
    [
      "/v1/infer",
      post("typed-infer", OPEN_INFERENCE_FORM, (exchange, body) =>
        serveTypedInference(dependencies, exchange, body),
      ),
    ],
    ["/v1/models", [{ name: "openai-models", method: "GET", form: OPENAI_FORM, answer: openAi.models }]],
    ["/v1/chat/completions", post("openai-chat", OPENAI_FORM, openAi.chat)],
    ["/v1/completions", post("openai-completions", OPENAI_FORM, openAi.completions)],
    ["/v1/embeddings", post("openai-embeddings", OPENAI_FORM, openAi.embeddings)],
  ]);
}

function indexEntry(engine: Engine, { model }: ServedEntry) {
  const state = engine.stateOf(model);
  const reason = state?.setAside?.message ?? "";
  return {
    name: model.name,
    version: model.variant,
    state: state?.isReady === true ? "READY" : "UNAVAILABLE",
    reason,
  };
}

function modelRoute(dependencies: RouteDependencies, entry: ServedEntry, action: string | undefined): Route {
  const base = { form: OPEN_INFERENCE_FORM, model: entry.model.name };
  const { engine, models } = dependencies;
  if (action === "/infer") {
    const answer: Answer = (exchange, body) => infer(dependencies, exchange, entry, body);
    return { ...base, name: "infer", method: "POST", answer };
  }
  if (action === "/ready") {
    const answer: Answer = (exchange) => sayReadiness(engine, entry, exchange);
    return { ...base, name: "model-ready", method: "GET", answer };
  }
  const answer: Answer = (exchange) => {
    const variants = models.list().filter(({ model }) => model.name === entry.model.name);
    const names = variants.map(({ model }) => model.variant);
    exchange.sendJson(JSON.stringify(describeModel(entry, names)));
  };
  return { ...base, name: "model", method: "GET", answer };
}

function sayReadiness(engine: Engine, { model }: ServedEntry, exchange: Exchange): void {
  const state = engine.stateOf(model);
  const isReady = state?.isReady === true;
  const reason = isReady
    ? undefined
    : (state?.setAside?.message ??
      `not loaded; the first request loads it, or POST /v2/repository/models/${model.name}/load`);
  exchange.sendJson(
    JSON.stringify({ name: model.name, version: model.variant, ready: isReady, reason }),
    isReady ? 200 : 503,
  );
}

function repositoryRoutes({ models, engine }: RouteDependencies, path: string): readonly Route[] | undefined {
  const match = REPOSITORY_PATH.exec(path);
  if (match === null) return undefined;
  const [, name = "", action] = match;
  models.refresh();
  const { model } = models.find(decode(name));
  const answer: Answer = async (exchange) => {
    if (action === "unload") await engine.unload(model);
    else {
      engine.takeBack(model);
      const stop = new AbortController();
      exchange.response.once("close", () => stop.abort());
      await engine.load(model, stop.signal);
    }
    exchange.sendJson("{}");
  };
  return [
    {
      name: `repository-${action}`,
      method: "POST",
      form: OPEN_INFERENCE_FORM,
      model: model.name,
      answer,
    },
  ];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new HttpProblem(400, "the path has a % that begins no character");
  }
}
