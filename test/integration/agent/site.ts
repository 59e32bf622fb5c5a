/**
 * Everything around an agent, small: a real nats-server, an operator that enrols one node and writes its documents, an
 * ingester that keeps the first result of each item, and a file server for models.
 */
import { strict as assert } from "node:assert";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  assignmentKeyText,
  encodeMessage,
  enrolmentRequestSchema,
  workSpecSchema,
  type Assignment,
  type EnrolmentReply,
  type Heartbeat,
  type ItemResult,
  type WorkFile,
  type WorkInput,
  type OnnxWorkModel,
  type WorkSpec,
  renewalRequestSchema,
} from "@autoglm/api";
import {
  connectBus,
  IngesterBus,
  OperatorBus,
  publicKeysOf,
  signGrant,
  signNodeUser,
  signServiceUser,
  verifyChunk,
  type BusConnection,
  type ReceivedChunk,
} from "@autoglm/bus";
import { parseAgentOptions, type AgentOptions } from "@autoglm/edge-agent";
import { FaultProxy } from "../../support/fault-proxy.ts";
import { startTestNats, type TestNats } from "../../support/nats.ts";

export const NODE = "node-a";
const TOKEN = "one-time-token-of-node-a";

interface TaskResults {
  /** The first result of each item, as the ingester would keep it. */
  readonly first: Map<number, ItemResult>;
  /** Results for an item that had one from another chunk: computed twice. */
  duplicates: number;
  readonly chunks: Set<number>;
  total: number | undefined;
}

export class Site {
  readonly nats: TestNats;
  readonly proxy: FaultProxy;
  readonly #operator: OperatorBus;
  readonly #connections: readonly BusConnection[];
  readonly #ingester: IngesterBus;
  readonly #http: Server;
  readonly #stop = new AbortController();
  readonly #folders: string[] = [];
  readonly #blobs = new Map<string, Buffer>();
  readonly #results = new Map<string, TaskResults>();
  #nodeKey = "";
  #assignments: readonly Assignment[] = [];
  #revision = 0;
  #ingesting: AbortController | undefined;
  #consuming: Promise<void> = Promise.resolve();
  /** All heartbeats, oldest first. */
  readonly heartbeats: Heartbeat[] = [];
  /** Why chunks were refused. */
  readonly refused: unknown[] = [];
  /** Requests to the operator and the file server, as "METHOD path range". */
  readonly requests: string[] = [];
  /** False: results are kept and counted, but no document says that they are accepted. */
  accepts = true;
  /** Says what the HTTP server does instead of its duty. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  /** How long credentials live. */
  credentialSeconds = 3600;

  static async start(): Promise<Site> {
    const nats = await startTestNats();
    const proxy = await FaultProxy.start(nats.port);
    const service = (role: "operator" | "ingester") =>
      connectBus({ urls: [nats.url], name: role, ...signServiceUser(nats.keys, role) });
    const [operator, ingester] = [await service("operator"), await service("ingester")];
    const http = createServer();
    http.listen(0, "127.0.0.1");
    await once(http, "listening");
    const site = new Site(nats, proxy, operator, ingester, http);
    await site.#operator.ensureStreams();
    return site;
  }

  private constructor(
    nats: TestNats,
    proxy: FaultProxy,
    operator: BusConnection,
    ingester: BusConnection,
    http: Server,
  ) {
    this.nats = nats;
    this.proxy = proxy;
    this.#connections = [operator, ingester];
    this.#operator = new OperatorBus(operator, { keys: nats.keys });
    this.#http = http;
    http.on("request", (request, response) => void this.#answer(request, response));
    this.#operator.onHeartbeat((heartbeat) => this.heartbeats.push(heartbeat));
    this.#ingester = new IngesterBus(ingester);
    this.startIngesting();
    // A server that lost its disk gets its streams and documents again, as the operator does it.
    operator.onStatus((status) => {
      if (status === "connected") void this.#operator.ensureStreams().then(() => this.#writeDocument());
    });
  }

  get url(): string {
    const address = this.#http.address();
    if (typeof address !== "object" || address === null) throw new Error("no TCP address");
    return `http://127.0.0.1:${address.port}`;
  }

  async folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "autoglm-agent-"));
    this.#folders.push(folder);
    return folder;
  }

  /** Variables for an agent of this site, impatient. */
  async variables(more: Readonly<Record<string, string>> = {}): Promise<Record<string, string>> {
    return {
      AUTOGLM_NODE_NAME: "node-a.example",
      AUTOGLM_STATE_DIR: join(await this.folder(), "state"),
      AUTOGLM_DATA_ROOT: await this.folder(),
      AUTOGLM_ENROL_URL: this.url,
      AUTOGLM_ENROL_TOKEN: TOKEN,
      AUTOGLM_MEMORY_BUDGET: "4Gi",
      AUTOGLM_THREADS: "1",
      AUTOGLM_HEALTH_HOST: "127.0.0.1",
      AUTOGLM_HEALTH_PORT: "0",
      AUTOGLM_HEARTBEAT_SECONDS: "0.5",
      AUTOGLM_RESYNC_SECONDS: "2",
      AUTOGLM_REPUBLISH_SECONDS: "1",
      AUTOGLM_LOG_LEVEL: process.env["AUTOGLM_TEST_LOG_LEVEL"] ?? "silent",
      ...more,
    };
  }

  async options(more: Readonly<Record<string, string>> = {}): Promise<AgentOptions> {
    return parseAgentOptions(await this.variables(more));
  }

  /** A file that the file server has under its digest. */
  blob(path: string, content: string | Buffer): WorkFile {
    const bytes = Buffer.from(content);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    this.#blobs.set(sha256, bytes);
    return { path, sha256, sizeBytes: bytes.length, urls: [] };
  }

  /** Puts a task's specification onto the bus; items go as parts, other inputs as they are. */
  async newAssignment(
    input: readonly string[] | Exclude<WorkInput, { kind: "items" }>,
    more: {
      readonly model?: OnnxWorkModel;
      readonly priority?: number;
      readonly reservedBytes?: number;
    } = {},
  ): Promise<Assignment> {
    const uid = randomUUID();
    const spec: WorkSpec = {
      v: 1,
      task: { uid, namespace: "default", name: "task" },
      type: "text-classification",
      model: more.model ?? this.model([this.blob("model.onnx", "a model")]),
      input: Array.isArray(input)
        ? { kind: "items", parts: [await this.#operator.writeSpec(NODE, Buffer.from(JSON.stringify(input)))] }
        : (input as Exclude<WorkInput, { kind: "items" }>),
      parameters: {},
    };
    const key = { task: uid, run: 0, shard: 0, epoch: 1 };
    const grant = { ...key, node: NODE, nodeKey: this.#nodeKey, namespace: "default", name: "task" };
    return {
      ...key,
      spec: await this.#operator.writeSpec(NODE, encodeMessage(workSpecSchema, spec)),
      grant: signGrant(this.nats.keys, grant),
      priority: more.priority ?? 0,
      acceptedThrough: -1,
      acceptedItems: [],
      reservedBytes: more.reservedBytes ?? 1024 * 1024,
    };
  }

  model(files: readonly WorkFile[], name = "model"): OnnxWorkModel {
    return {
      name,
      variant: "fp32",
      runtime: "onnx",
      contextLength: 128,
      memoryBytes: 1024,
      files: [...files],
    };
  }

  /** Replaces what the node should be doing. */
  async assign(...assignments: readonly Assignment[]): Promise<void> {
    this.#assignments = assignments;
    await this.#writeDocument();
  }

  /** Writes a document as it is, under the node's subject or another one. */
  writeRaw(document: Parameters<OperatorBus["writeDesired"]>[0]): Promise<void> {
    return this.#operator.writeDesired(document);
  }

  get revision(): number {
    return this.#revision;
  }

  resultsOf({ task }: { readonly task: string }): TaskResults {
    let results = this.#results.get(task);
    if (!results) {
      results = { first: new Map(), duplicates: 0, chunks: new Set(), total: undefined };
      this.#results.set(task, results);
    }
    return results;
  }

  isComplete(assignment: { readonly task: string }): boolean {
    const { first, total } = this.resultsOf(assignment);
    return total !== undefined && first.size === total;
  }

  reportOf(assignment: Assignment): Heartbeat["assignments"][number] | undefined {
    return this.heartbeats
      .at(-1)
      ?.assignments.find((report) => assignmentKeyText(report) === assignmentKeyText(assignment));
  }

  startIngesting(): void {
    if (this.#ingesting) return;
    this.#ingesting = new AbortController();
    const { signal } = this.#ingesting;
    const before = this.#consuming;
    this.#consuming = before.then(() =>
      this.#ingester.consumeChunks((batch) => this.#take(batch), { signal }),
    );
  }

  stopIngesting(): void {
    this.#ingesting?.abort();
    this.#ingesting = undefined;
  }

  /** How much the bus keeps of results that nobody has taken. */
  limitResults(resultsMaxBytes: number): Promise<void> {
    return this.#operator.ensureStreams({ resultsMaxBytes });
  }

  /** Polls until it is true. */
  async until(what: string, isTrue: () => boolean, seconds = 30): Promise<void> {
    const giveUpAt = performance.now() + seconds * 1000;
    while (!isTrue()) {
      if (performance.now() > giveUpAt) {
        const last = this.heartbeats.at(-1);
        throw new Error(`not in ${seconds} s: ${what}; last heartbeat ${JSON.stringify(last)}`);
      }
      await sleep(20);
    }
  }

  /** For after each test: an agent never sends what an ingester refuses. */
  assertNothingRefused(): void {
    assert.deepEqual(this.refused, []);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.stopIngesting();
    await this.#consuming;
    for (const connection of this.#connections) await connection.close();
    this.#http.closeAllConnections();
    this.#http.close();
    await this.proxy.stop();
    await this.nats.stop();
    for (const folder of this.#folders) await rm(folder, { recursive: true, force: true });
  }

  async #writeDocument(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const assignments = this.#assignments.map((assignment) => ({
      ...assignment,
      acceptedThrough: this.accepts ? this.#watermark(assignment) : assignment.acceptedThrough,
    }));
    await this.#operator.writeDesired({
      v: 1,
      node: NODE,
      generation: 0,
      revision: ++this.#revision,
      assignments,
    });
  }

  #watermark(assignment: Assignment): number {
    const { chunks } = this.resultsOf(assignment);
    let through = assignment.acceptedThrough;
    while (chunks.has(through + 1)) through++;
    return through;
  }

  async #take(batch: readonly ReceivedChunk[]): Promise<void> {
    const { grant: grantKey } = publicKeysOf(this.nats.keys);
    for (const received of batch) {
      const chunk = this.#verify(grantKey, received);
      if (!chunk) continue;
      const results = this.resultsOf(chunk.key);
      // The same chunk again: nobody knew yet that it was accepted.
      if (results.chunks.has(chunk.chunk)) continue;
      for (const result of chunk.items) {
        if (results.first.has(result.item)) results.duplicates++;
        else results.first.set(result.item, result);
      }
      results.chunks.add(chunk.chunk);
      results.total = chunk.end?.total ?? results.total;
    }
    if (this.accepts) await this.#writeDocument();
  }

  /** undefined for a chunk that an ingester would refuse. */
  #verify(grantKey: string, received: ReceivedChunk) {
    try {
      return verifyChunk(grantKey, received).chunk;
    } catch (error) {
      this.refused.push(error);
      return undefined;
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    this.requests.push([request.method, path, request.headers.range].filter(Boolean).join(" "));
    if (this.intercept?.(request, response)) return;
    if (path.startsWith("/models/sha256/")) {
      this.#answerBlob(path.slice("/models/sha256/".length), request, response);
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
    const asksFor = path === "/renew" ? renewalRequestSchema.parse(body) : enrolmentRequestSchema.parse(body);
    if ("token" in asksFor && asksFor.token !== TOKEN) {
      response
        .writeHead(403)
        .end(JSON.stringify({ code: "EnrolmentRefused", message: "the token is not valid" }));
      return;
    }
    this.#nodeKey = asksFor.publicKey;
    const expiresAt = new Date(Date.now() + this.credentialSeconds * 1000);
    const reply: EnrolmentReply = {
      nodeId: NODE,
      jwt: signNodeUser(this.nats.keys, { nodeId: NODE, publicKey: asksFor.publicKey, expiresAt }),
      natsUrls: [`nats://127.0.0.1:${this.proxy.port}`],
      modelServerUrl: this.url,
      expiresAt: expiresAt.toISOString(),
    };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(reply));
  }

  #answerBlob(sha256: string, request: IncomingMessage, response: ServerResponse): void {
    const blob = this.#blobs.get(sha256);
    if (!blob) {
      response.writeHead(404).end();
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? -1);
    if (from < 0) response.writeHead(200, { "content-length": blob.length }).end(blob);
    else {
      const rest = blob.subarray(from);
      const range = `bytes ${from}-${blob.length - 1}/${blob.length}`;
      response.writeHead(206, { "content-range": range, "content-length": rest.length }).end(rest);
    }
  }
}
