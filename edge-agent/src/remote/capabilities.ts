/**
 * What an endpoint can, as it showed it: each feature is tried once with a small request when it is first needed, and what
 * came out is kept on the disk. A server that ignores a field it does not know would pass a test by status alone, so the
 * answer must show the effect. What the hosted API's documentation leaves out is not tried.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { assertNever, AutoglmError, hasErrorCode, isAutoglmError } from "@autoglm/api";
import { z } from "zod";
import { RequestRejected, type EndpointClient } from "./client.ts";
import {
  chatBody,
  FLAVOURS,
  flavourOf,
  hasThinkingSwitch,
  type ChatRequest,
  type Flavour,
} from "./flavour.ts";
import { parseJson, type ChatReply } from "./reply.ts";

export const CAPABILITIES = [
  "chat",
  "thinkingSwitch",
  "jsonObject",
  "jsonSchema",
  "choice",
  "logprobs",
  "embeddings",
  "vision",
] as const;
export type Capability = (typeof CAPABILITIES)[number];
export type Capabilities = Readonly<Record<Capability, boolean>>;

/** Another way of probing makes what was found before worthless. */
const PROBE_VERSION = 1;
const storedSchema = z.object({
  version: z.literal(PROBE_VERSION),
  flavour: z.enum(FLAVOURS),
  thinks: z.boolean(),
  can: z.partialRecord(z.enum(CAPABILITIES), z.boolean()),
});

/** Items that are refused each for itself are no reason to probe at every one. */
const REPROBE_MS = 600_000;
const NOT_IN_HOSTED_API: readonly Capability[] = ["jsonSchema", "choice", "logprobs"];
const NONE: Capabilities = {
  chat: false,
  thinkingSwitch: false,
  jsonObject: false,
  jsonSchema: false,
  choice: false,
  logprobs: false,
  embeddings: false,
  vision: false,
};

export class CapabilityTable {
  readonly #client: EndpointClient;
  readonly #model: string;
  readonly #file: string | undefined;
  readonly #can = new Map<Capability, Promise<boolean>>();
  #flavour: Flavour = "openai";
  /** The model thinks when it is not told otherwise, as far as was seen: then answers need room for that. */
  thinks = false;
  #stored: Promise<void> = Promise.resolve();
  #isStoreDue = false;
  #rejection: { readonly what: string; readonly atMs: number } | undefined;

  /** @param folder where tables are kept; undefined: nowhere */
  constructor(client: EndpointClient, model: string, folder: string | undefined) {
    this.#client = client;
    this.#model = model;
    const name = createHash("sha256").update(`${client.url}\n${model}`).digest("hex").slice(0, 32);
    this.#file = folder === undefined ? undefined : path.join(folder, `${name}.json`);
  }

  get flavour(): Flavour {
    return this.#flavour;
  }

  /** Reads what is known, or asks the server what it is and whether the model answers at all. */
  async open(signal: AbortSignal): Promise<void> {
    const text = this.#file === undefined ? "" : await readFile(this.#file, "utf8").catch(() => "");
    const stored = storedSchema.safeParse(parseJson(text));
    if (stored.success) {
      this.#flavour = stored.data.flavour;
      this.thinks = stored.data.thinks;
      for (const [name, can] of Object.entries(stored.data.can)) {
        this.#can.set(name as Capability, Promise.resolve(can));
      }
      return;
    }
    this.#flavour = flavourOf(this.#client.url, await this.#ownedBy(signal));
    await this.#requireModel(signal);
  }

  /** @throws AutoglmError `EndpointRefused` when the endpoint takes neither messages nor texts to embed for the model */
  async #requireModel(signal: AbortSignal): Promise<void> {
    try {
      if (await this.has("chat", signal)) return;
    } catch (error) {
      // An endpoint of embeddings has no such path; a key that is refused is refused there too.
      if (!hasErrorCode(error, "EndpointRefused") || !(await this.has("embeddings", signal))) throw error;
      return;
    }
    if (await this.has("embeddings", signal)) return;
    const message = `the endpoint ${this.#client.url} takes neither chat nor embeddings for the model ${this.#model}: check url and model of the endpoint in the AutoGLMModel`;
    throw new AutoglmError("EndpointRefused", message);
  }

  has(capability: Capability, signal: AbortSignal): Promise<boolean> {
    const known = this.#can.get(capability);
    if (known !== undefined) return known;
    const found = this.#probe(capability, signal).catch((error: unknown) => {
      throw withoutDoubt(error);
    });
    this.#can.set(capability, found);
    found.then(
      () => this.#store(),
      // Nothing was found out: the next one tries again.
      () => this.#can.delete(capability),
    );
    return found;
  }

  /** What a chat request may use. */
  async forChat(wanted: Pick<ChatRequest, "schema" | "choice">, signal: AbortSignal): Promise<Capabilities> {
    const need = async (capability: Capability, isWanted: boolean) =>
      isWanted && (await this.has(capability, signal));
    const choice = await need("choice", wanted.choice !== undefined);
    const jsonSchema = await need("jsonSchema", wanted.schema !== undefined);
    const jsonObject = await need("jsonObject", wanted.schema !== undefined && !jsonSchema);
    return {
      ...NONE,
      choice,
      jsonSchema,
      jsonObject,
      thinkingSwitch: await this.has("thinkingSwitch", signal),
    };
  }

  /**
   * The server does not take a request. When it says so in another way than the last time, or after a while, it may have
   * changed: what is known is forgotten, to be tried anew.
   * @returns whether it was forgotten
   */
  noteRejection(what: string): boolean {
    const now = performance.now();
    const isNews = what !== this.#rejection?.what || now - this.#rejection.atMs > REPROBE_MS;
    if (!isNews) return false;
    this.#rejection = { what, atMs: now };
    this.#can.clear();
    return true;
  }

  /** Resolves when what is known is on the disk. */
  stored(): Promise<void> {
    return this.#stored;
  }

  /** What is known by now. */
  async known(): Promise<Partial<Record<Capability, boolean>>> {
    const entries = await Promise.all(
      [...this.#can].map(async ([name, can]) => [name, await can.catch(() => undefined)] as const),
    );
    return Object.fromEntries(entries.filter(([, can]) => can !== undefined));
  }

  /** One after the other: a table must not come to lie over a newer one. */
  #store(): void {
    if (this.#isStoreDue) return;
    this.#isStoreDue = true;
    this.#stored = this.#stored.then(() => this.#write());
  }

  async #write(): Promise<void> {
    this.#isStoreDue = false;
    if (this.#file === undefined) return;
    const { thinks } = this;
    const stored = { version: PROBE_VERSION, flavour: this.#flavour, thinks, can: await this.known() };
    try {
      await mkdir(path.dirname(this.#file), { recursive: true });
      const draft = `${this.#file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
      await writeFile(draft, JSON.stringify(stored));
      await rename(draft, this.#file);
    } catch {
      // A full disk costs a few probes after the next start.
    }
  }

  async #ownedBy(signal: AbortSignal): Promise<string | undefined> {
    const schema = z.looseObject({ data: z.array(z.looseObject({ owned_by: z.string() })).min(1) });
    const models = schema.safeParse(await this.#client.tryGet("/models", signal));
    return models.success ? models.data.data[0]?.owned_by : undefined;
  }

  async #probe(capability: Capability, signal: AbortSignal): Promise<boolean> {
    if (this.#flavour === "bigmodel" && NOT_IN_HOSTED_API.includes(capability)) return false;
    switch (capability) {
      case "chat":
        return (await this.#ask({ maxNewTokens: 1 }, { thinkingSwitch: false }, signal)) !== false;
      case "thinkingSwitch":
        if (!hasThinkingSwitch(this.#flavour)) return false;
        return (await this.#ask({ maxNewTokens: 1 }, { thinkingSwitch: true }, signal)) !== false;
      case "jsonObject": {
        const messages = [user('Answer with this JSON and nothing else: {"ok": true}')];
        const reply = await this.#ask({ messages, schema: {} }, { jsonObject: true }, signal);
        return reply !== false && isObjectText(reply.text);
      }
      case "jsonSchema": {
        // No model would say this of its own accord.
        const schema = {
          type: "object",
          properties: { probe_7f3a: { type: "string", enum: ["q9x"] } },
          required: ["probe_7f3a"],
          additionalProperties: false,
        };
        const reply = await this.#ask({ schema }, { jsonSchema: true }, signal);
        const read = z.object({ probe_7f3a: z.literal("q9x") });
        return reply !== false && read.safeParse(parseJson(reply.text)).success;
      }
      case "choice": {
        if (this.#flavour !== "vllm" && this.#flavour !== "sglang") return false;
        const choice = ["q9x", "v4k"];
        const reply = await this.#ask({ choice }, { choice: true }, signal);
        return reply !== false && choice.includes(reply.text.trim());
      }
      case "logprobs": {
        const reply = await this.#ask({ topLogprobs: 2, maxNewTokens: 1 }, {}, signal);
        return reply !== false && (reply.logprobs[0]?.top.length ?? 0) > 0;
      }
      case "embeddings":
        return this.#embeds(signal);
      case "vision": {
        const messages = [{ ...user("What colour is this?"), imageUrl: PROBE_IMAGE }];
        return (await this.#ask({ messages, maxNewTokens: 4 }, {}, signal)) !== false;
      }
      default:
        return assertNever(capability);
    }
  }

  /** The reply, or false when the server does not take the request. */
  async #ask(
    fields: Partial<ChatRequest>,
    can: Partial<Capabilities>,
    signal: AbortSignal,
  ): Promise<ChatReply | false> {
    const thinkingSwitch = can.thinkingSwitch ?? (await this.has("thinkingSwitch", signal));
    const allowed = { ...NONE, ...can, thinkingSwitch };
    const request = { ...PROBE_REQUEST, ...fields };
    try {
      const reply = await this.#client.chat(
        (requestId) => chatBody(this.#flavour, allowed, this.#model, requestId, request),
        signal,
      );
      if ((reply.usage?.reasoningTokens ?? 0) > 0) this.thinks = true;
      return reply;
    } catch (error) {
      if (error instanceof RequestRejected) return false;
      throw error;
    }
  }

  async #embeds(signal: AbortSignal): Promise<boolean> {
    try {
      await this.#client.post("/embeddings", { model: this.#model, input: ["probe"] }, signal);
      return true;
    } catch (error) {
      if (error instanceof RequestRejected) return false;
      throw error;
    }
  }
}

/** What a probe may have been answered with is no item's. */
function withoutDoubt(error: unknown): unknown {
  if (!isAutoglmError(error) || error.details["mayHaveAnswered"] === undefined) return error;
  const { code, message, retry } = error;
  return new AutoglmError(code, message, { retry, cause: error });
}

const user = (content: string) => ({ role: "user" as const, content });
const isObjectText = (text: string) => z.record(z.string(), z.unknown()).safeParse(parseJson(text)).success;

const PROBE_REQUEST: ChatRequest = {
  messages: [user("Say hello.")],
  maxNewTokens: 16,
  temperature: 0,
  seed: 0,
  stop: [],
  stream: false,
};

/** A red square of 32 × 32. */
const PROBE_IMAGE =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAJ0lEQVR42u3NsQkAAAjAsP7/tF7hIASyp6lTCQQCgUAgEAgEgi/BAjLD/C5w/SM9AAAAAElFTkSuQmCC";
