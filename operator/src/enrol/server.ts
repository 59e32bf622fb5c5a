/**
 * `POST /enrol` and `POST /renew`: how a node gets its user on the bus.
 *
 * The key pair is born on the node; what comes here is its public half and a proof: a one-time token whose hash an
 * administrator put into the AutoGLMNode, a ServiceAccount token that the API server binds to the node, or, to renew, a
 * signature by the enrolled key. Key and used token are recorded before the answer leaves. Requests about one node go
 * one after the other, so that a token can't be used twice at once. Errors are JSON: {code, message}.
 */
import { createHash } from "node:crypto";
import {
  AutoglmError,
  enrolmentRequestSchema,
  renewalRequestSchema,
  renewalText,
  toAutoglmError,
  type AutoGLMNode,
  type EnrolmentReply,
  type RenewalRequest,
} from "@autoglm/api";
import { nodeIdOf } from "@autoglm/core";
import type { Log } from "@autoglm/kube";
import { fastify, type FastifyReply } from "fastify";
import type { z } from "zod";
import type { ObjectStore } from "../store/object-store.ts";
import { judgeEnrolment, judgeRenewal, type Judgement } from "./judgement.ts";
import { RequestRate } from "./request-rate.ts";

/** Says which node a projected ServiceAccount token is bound to; undefined when it is no such token. */
export type IdentifyToken = (token: string) => Promise<string | undefined>;

export interface EnrolServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly store: Pick<ObjectStore, "list" | "readNode" | "createNode" | "recordEnrolment">;
  readonly identifyToken: IdentifyToken;
  /** Signs a user JWT for the node. */
  readonly signUser: (user: {
    readonly nodeId: string;
    readonly publicKey: string;
    readonly expiresAt: Date;
  }) => string;
  /** Whether an nkey signed these bytes. */
  readonly verifySignature: (publicKey: string, bytes: Uint8Array, signature: Uint8Array) => boolean;
  readonly natsUrls: readonly string[];
  readonly modelServerUrl: string;
  readonly credentialLifetimeMs: number;
  readonly nowMs: () => number;
  readonly log: Log;
}

export interface EnrolServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Of one address, per minute. */
const REQUESTS_PER_MINUTE = 60;

export async function startEnrolServer(options: EnrolServerOptions): Promise<EnrolServer> {
  const { log, nowMs } = options;
  const server = fastify({ bodyLimit: 32 * 1024, requestTimeout: 10_000, forceCloseConnections: true });
  const rate = new RequestRate(REQUESTS_PER_MINUTE, nowMs);
  const turns = new Turns();
  server.addHook("onRequest", async (request, reply) => {
    if (!rate.allows(request.ip)) return refuse(reply, 429, "TooManyRequests", "try again in a minute");
    return undefined;
  });
  server.post("/enrol", async ({ body }, reply) => {
    const request = enrolmentRequestSchema.safeParse(body);
    if (!request.success) return refuse(reply, 400, "Invalid", problemOf(request.error));
    const { nodeName } = request.data;
    return turns.take(nodeName, async () => answer(reply, log, () => enrol(options, request.data)));
  });
  server.post("/renew", async ({ body }, reply) => {
    const request = renewalRequestSchema.safeParse(body);
    if (!request.success) return refuse(reply, 400, "Invalid", problemOf(request.error));
    return answer(reply, log, () => renew(options, request.data));
  });
  try {
    await server.listen({ host: options.host, port: options.port });
  } catch (cause) {
    const message = `can't listen on ${options.host}:${options.port}; choose another port`;
    throw new AutoglmError("InvalidOption", message, { cause });
  }
  const [address] = server.addresses();
  const port = typeof address === "object" ? address.port : options.port;
  return { port, close: async () => server.close() };
}

async function enrol(options: EnrolServerOptions, request: z.output<typeof enrolmentRequestSchema>) {
  const { store, nowMs } = options;
  const { nodeName, publicKey, token } = request;
  const nodeId = nodeIdOf(nodeName);
  // A one-time token is no JWT: the API server is not asked about it.
  const tokenNodeName = token.split(".").length === 3 ? await options.identifyToken(token) : undefined;
  let node = await store.readNode(nodeName);
  const tokenSha256 = createHash("sha256").update(token).digest("hex");
  const namesake = store
    .list("AutoGLMNode")
    .find(({ metadata, status }) => metadata.name !== nodeName && status?.nodeId === nodeId)?.metadata.name;
  const judgement = judgeEnrolment({
    nodeName,
    nodeId,
    publicKey,
    tokenSha256,
    tokenNodeName,
    node,
    namesake,
    nowMs: nowMs(),
  });
  assertAllowed(judgement);
  if (node === undefined) {
    await store.createNode(nodeName);
    node = await store.readNode(nodeName);
  }
  if (node === undefined) throw new AutoglmError("NotFound", `node ${nodeName} was deleted meanwhile`);
  const isKnown = node.status?.publicKey === publicKey && node.status.nodeId === nodeId;
  const enrolledAt = isKnown && !isOlderThanRevocation(node) ? node.status?.enrolledAt : undefined;
  await store.recordEnrolment(node, {
    nodeId,
    publicKey,
    ...(judgement.usedTokenSha256 === undefined ? {} : { usedTokenSha256: judgement.usedTokenSha256 }),
    enrolledAt: enrolledAt ?? new Date(nowMs()).toISOString(),
  });
  options.log.info({ node: nodeName, nodeId }, "enrolled");
  return replyFor(options, nodeId, publicKey);
}

async function renew(options: EnrolServerOptions, request: RenewalRequest) {
  const { nodeId, publicKey, time, signature } = request;
  const name = options.store.list("AutoGLMNode").find(({ status }) => status?.nodeId === nodeId)
    ?.metadata.name;
  const signed = renewalText({ nodeId, time });
  const judgement = judgeRenewal({
    publicKey,
    isSignatureValid: options.verifySignature(publicKey, signed, Buffer.from(signature, "base64")),
    requestedAtMs: Date.parse(time),
    node: name === undefined ? undefined : await options.store.readNode(name),
    nowMs: options.nowMs(),
  });
  assertAllowed(judgement);
  return replyFor(options, nodeId, publicKey);
}

function replyFor(options: EnrolServerOptions, nodeId: string, publicKey: string): EnrolmentReply {
  const expiresAt = new Date(options.nowMs() + options.credentialLifetimeMs);
  return {
    nodeId,
    jwt: options.signUser({ nodeId, publicKey, expiresAt }),
    natsUrls: [...options.natsUrls],
    modelServerUrl: options.modelServerUrl,
    expiresAt: expiresAt.toISOString(),
  };
}

function isOlderThanRevocation({ spec, status }: AutoGLMNode): boolean {
  const { revokedBefore } = spec;
  return revokedBefore !== undefined && Date.parse(status?.enrolledAt ?? "") <= Date.parse(revokedBefore);
}

function assertAllowed(judgement: Judgement): asserts judgement is Extract<Judgement, { isAllowed: true }> {
  if (!judgement.isAllowed) throw new AutoglmError("EnrolmentRefused", judgement.because);
}

async function answer(reply: FastifyReply, log: Log, work: () => Promise<EnrolmentReply>) {
  try {
    return await work();
  } catch (cause) {
    const error = toAutoglmError(cause);
    log.warn({ code: error.code, error: error.message }, "enrolment refused or failed");
    if (error.code === "EnrolmentRefused") return refuse(reply, 403, error.code, error.message);
    return refuse(reply, 503, error.code, "can't enrol now; try again");
  }
}

function refuse(reply: FastifyReply, status: number, code: string, message: string): FastifyReply {
  return reply.code(status).send({ code, message });
}

function problemOf(error: z.ZodError): string {
  const [issue] = error.issues;
  return `${issue?.path.join(".") || "body"}: ${issue?.message ?? "invalid"}`;
}

/** One after the other, per key. */
class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  async take<T>(key: string, run: () => Promise<T>): Promise<T> {
    const mine = (this.#last.get(key) ?? Promise.resolve()).then(run);
    const settled = mine.catch(() => undefined);
    this.#last.set(key, settled);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    }
  }
}
