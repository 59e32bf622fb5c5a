/**
 * An agent that works, without models: it enrols over HTTP, fetches its document when poked, answers every item at once,
 * keeps its results until they are accepted, and says how it is. A test can make it silent, slow, faulty or forgetful.
 */
import { randomUUID } from "node:crypto";
import {
  assignmentKeyText,
  decodeMessage,
  encodeMessage,
  enrolmentReplySchema,
  resultChunkSchema,
  workSpecSchema,
  type Assignment,
  type AssignmentReport,
  type DesiredDocument,
  type EnrolmentReply,
  type Heartbeat,
  type ItemOutput,
  type Tier,
  type WorkSpec,
} from "@autoglm/api";
import { AgentBus, connectBus, NodeKey, type BusConnection } from "@autoglm/bus";

export interface FakeAgentOptions {
  readonly enrolUrl: string;
  readonly token: string;
  readonly nodeName: string;
  readonly tier: Tier;
  readonly memoryBytes?: number;
  readonly location?: "edge" | "cloud";
  /** Items answered before it stops and waits; default: all. */
  readonly pauseAfterItems?: number;
  readonly failWith?: { readonly code: string; readonly message: string };
  readonly heartbeatMs?: number;
}

interface Work {
  readonly assignment: Assignment;
  readonly spec: WorkSpec;
  readonly items: readonly string[];
  produced: number;
  nextChunk: number;
}

export class FakeAgent {
  readonly options: FakeAgentOptions;
  readonly key = NodeKey.generate();
  reply!: EnrolmentReply;
  /** Every document that was fetched, oldest first. */
  readonly documents: DesiredDocument[] = [];
  stateId: string = randomUUID();
  pauseAfterItems: number;
  isSilent = false;
  usedByOthersBytes = 0;
  #bus!: AgentBus;
  #connection!: BusConnection;
  #work = new Map<string, Work>();
  #timer: NodeJS.Timeout | undefined;
  #busy = Promise.resolve();

  private constructor(options: FakeAgentOptions) {
    this.options = options;
    this.pauseAfterItems = options.pauseAfterItems ?? Infinity;
  }

  static async start(options: FakeAgentOptions): Promise<FakeAgent> {
    const agent = new FakeAgent(options);
    agent.reply = await enrol(options.enrolUrl, options.nodeName, agent.key.publicKey, options.token);
    agent.#connection = await connectBus({
      urls: agent.reply.natsUrls,
      name: options.nodeName,
      jwt: agent.reply.jwt,
      seed: agent.key.seed,
    });
    agent.#bus = new AgentBus(agent.#connection, { nodeId: agent.reply.nodeId, key: agent.key });
    agent.#bus.onPoke(() => agent.sync());
    agent.#connection.onStatus((status) => status === "connected" && agent.sync());
    agent.#timer = setInterval(() => agent.beat(), options.heartbeatMs ?? 200);
    agent.beat();
    agent.sync();
    return agent;
  }

  get newest(): DesiredDocument | undefined {
    return this.documents.at(-1);
  }

  /** Fetches the document and does what it says; one round at a time. */
  sync(): void {
    this.#busy = this.#busy.then(() => this.#round()).catch(() => undefined);
  }

  beat(): void {
    if (!this.isSilent) this.#bus.publishHeartbeat(this.#heartbeat());
  }

  /** As after the loss of its disk: nothing is remembered, and it says so. */
  forgetEverything(): void {
    this.stateId = randomUUID();
    this.#work = new Map();
    this.beat();
    this.sync();
  }

  /** Goes on after a pause. */
  resume(): void {
    this.pauseAfterItems = Infinity;
    this.sync();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#connection.close();
  }

  async #round(): Promise<void> {
    const document = await this.#bus.fetchDesired();
    if (document === undefined || this.isSilent) return;
    if (document.revision > (this.newest?.revision ?? 0)) this.documents.push(document);
    const listed = new Set(document.assignments.map(assignmentKeyText));
    for (const key of this.#work.keys()) if (!listed.has(key)) this.#work.delete(key);
    for (const assignment of document.assignments) await this.#do(assignment);
    this.beat();
  }

  async #do(assignment: Assignment): Promise<void> {
    const key = assignmentKeyText(assignment);
    let work = this.#work.get(key);
    if (work === undefined) {
      const bytes = await this.#bus.fetchSpec(assignment.spec);
      if (bytes === undefined) return;
      const spec = decodeMessage(workSpecSchema, bytes);
      work = { assignment, spec, items: await this.#read(spec), produced: 0, nextChunk: 0 };
      this.#work.set(key, work);
    }
    if (this.options.failWith !== undefined) return;
    const skip = new Set(assignment.acceptedItems.flatMap(([first, last]) => range(first, last)));
    const todo = work.items.map((_, item) => item).filter((item) => !skip.has(item));
    while (work.produced < Math.min(todo.length, this.pauseAfterItems)) {
      const items = todo.slice(work.produced, Math.min(work.produced + 50, this.pauseAfterItems));
      const isLast = work.produced + items.length === todo.length;
      await this.#publish(work, items, isLast);
      work.produced += items.length;
      work.nextChunk += 1;
    }
    if (todo.length === 0 && work.nextChunk === 0) {
      await this.#publish(work, [], true);
      work.nextChunk += 1;
    }
  }

  async #publish({ assignment, spec, items, nextChunk }: Work, numbers: readonly number[], isLast: boolean) {
    const { task, run, epoch, shard } = assignment;
    const body = encodeMessage(resultChunkSchema, {
      v: 1,
      node: this.reply.nodeId,
      key: { task, run, epoch, shard },
      chunk: nextChunk,
      producedAt: new Date().toISOString(),
      items: numbers.map((item) => ({ item, stage: "final" as const, ms: 1, output: outputOf(spec) })),
      ...(isLast ? { end: { total: items.length } } : {}),
    });
    const address = { node: this.reply.nodeId, task, run, epoch, shard, chunk: nextChunk };
    await this.#bus.publishChunk(address, body, assignment.grant);
  }

  async #read({ input }: WorkSpec): Promise<readonly string[]> {
    if (!("parts" in input)) return ["one", "two"];
    const parts: Uint8Array[] = [];
    for (const digest of input.parts) parts.push((await this.#bus.fetchSpec(digest)) ?? new Uint8Array());
    const text = Buffer.concat(parts).toString("utf8");
    return input.kind === "items" ? (JSON.parse(text) as string[]) : text.trim().split("\n");
  }

  #heartbeat(): Heartbeat {
    const { options } = this;
    const { revision = 0, generation = 0 } = this.newest ?? {};
    const totalBytes = options.memoryBytes ?? Number.parseInt(options.tier, 10) * 2 ** 30;
    return {
      v: 1,
      node: this.reply.nodeId,
      nodeName: options.nodeName,
      agentVersion: "test",
      stateId: this.stateId,
      startedAt: new Date(0).toISOString(),
      sentAt: new Date().toISOString(),
      location: options.location ?? "edge",
      memory: { kind: "ram", totalBytes, usedByOthersBytes: this.usedByOthersBytes, usedByUsBytes: 0 },
      probedTier: options.tier,
      document: { generation, revision },
      outbox: { chunks: 0, bytes: 0, limitBytes: 1e9, full: false },
      models: [],
      assignments: [...this.#work.values()].map((work) => this.#report(work)),
      draining: false,
    };
  }

  #report({ assignment: { task, run, shard, epoch }, produced, items }: Work): AssignmentReport {
    const { failWith } = this.options;
    const key = { task, run, shard, epoch };
    if (failWith !== undefined) return { ...key, phase: "Failed", produced: 0, error: failWith };
    return { ...key, phase: produced >= items.length ? "Done" : "Running", produced, total: items.length };
  }
}

export async function enrol(
  url: string,
  nodeName: string,
  publicKey: string,
  token: string,
): Promise<EnrolmentReply> {
  const response = await fetch(`${url}/enrol`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ nodeName, publicKey, token }),
  });
  const body: unknown = await response.json();
  if (!response.ok) throw new Error(`${response.status} ${JSON.stringify(body)}`);
  return enrolmentReplySchema.parse(body);
}

function outputOf({ type }: WorkSpec): ItemOutput {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- a double of an agent, for what the tests give it
  switch (type) {
    case "text-classification":
      return { type, labels: [{ label: "positive", score: 0.9 }], scoreSource: "probability" };
    case "token-classification":
      return { type, entities: [], scoreSource: "none" };
    case "text-generation":
      return {
        type,
        generated_text: "ok",
        finish_reason: "stop",
        prompt_tokens: 1,
        completion_tokens: 1,
        score: null,
        scoreSource: "none",
      };
    default:
      throw new Error(`this double answers no ${type}`);
  }
}

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);
