/**
 * How a node becomes part of the fleet, and stays it.
 *
 *   no reply stored ──POST /enrol (token)──► enrolled ──two thirds of the JWT's life──POST /renew (signature)──┐
 *        │ refused: EnrolmentRefused            ▲ works from the stored reply, with no operator in reach       │
 *        ▼                                      └──────────────────────────────────────────────────────────────┘
 *     the process ends
 *
 * The key is born on the node; only its public half and signatures leave it. Renewal proves the same key, because a
 * one-time token can't be used again. A renewal that is refused is followed by a new enrolment where the token may be
 * used more than once, and tried again: an administrator may be about to mend it. A link that stays cut is a reason
 * to renew too: the hub may have new keys, or the credentials may have been revoked and given back.
 */
import { readFile } from "node:fs/promises";
import {
  AutoglmError,
  enrolmentReplySchema,
  hasErrorCode,
  toAutoglmError,
  type EnrolmentReply,
  type EnrolmentRequest,
  renewalText,
  type RenewalRequest,
} from "@autoglm/api";
import type { NodeKey } from "@autoglm/bus";
import type { Log } from "@autoglm/telemetry";
import { z } from "zod";
import { backoffMs, pause } from "./backoff.ts";
import type { StateFolder } from "./state-folder.ts";

const storedSchema = z.object({ reply: enrolmentReplySchema, receivedAt: z.iso.datetime() });
type Stored = z.infer<typeof storedSchema>;

const refusalSchema = z.object({ code: z.string().optional(), message: z.string() });

export interface EnrolmentOptions {
  readonly folder: StateFolder;
  readonly key: NodeKey;
  readonly nodeName: string;
  readonly enrolUrl: string | undefined;
  readonly enrolToken: string | undefined;
  /** Read anew for each try: a projected token is replaced all the time. */
  readonly enrolTokenFile: string | undefined;
  readonly log: Log;
}

const FILE = "enrolment.json";
const REQUEST_TIMEOUT_MS = 10_000;
/** How often to look whether a renewal is due. */
const LOOK_MS = 1000;
/** A link that is cut for so long may be cut because of the credentials. */
const CUT_FOR_MS = 60_000;
/** Statuses that say "later", not "no". */
const LATER = new Set([408, 425, 429]);

export class Enrolment {
  readonly #options: EnrolmentOptions;
  #stored: Stored;

  private constructor(options: EnrolmentOptions, stored: Stored) {
    this.#options = options;
    this.#stored = stored;
  }

  /**
   * The stored reply, else a new one, however long that takes.
   * @throws AutoglmError `EnrolmentRefused`, `InvalidOption` without a stored reply and without a URL or token, `Aborted`
   */
  static async open(options: EnrolmentOptions, signal: AbortSignal): Promise<Enrolment> {
    const stored = await readStored(options.folder);
    if (stored) return new Enrolment(options, stored);
    for (let failures = 1; ; failures++) {
      try {
        return new Enrolment(options, await store(options.folder, await enrol(options)));
      } catch (cause) {
        const error = toAutoglmError(cause);
        if (error.retry === "never") throw error;
        options.log.warn({ error }, "can't enrol yet; trying again");
      }
      if (!(await pause(backoffMs(failures, Math.random()) / 2, signal))) {
        throw new AutoglmError("Aborted", "stopped before the node was enrolled");
      }
    }
  }

  get reply(): EnrolmentReply {
    return this.#stored.reply;
  }

  /**
   * Renews for as long as the process lives. The bus takes the new JWT at its next dial.
   * @throws AutoglmError `BusUnavailable` when the hub has other addresses now: start again to use them
   */
  async keepRenewed(isConnected: () => boolean, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    let connectedAt = performance.now();
    let failures = 0;
    while (await pause(failures > 0 ? 10 * backoffMs(failures, Math.random()) : LOOK_MS, signal)) {
      if (isConnected()) connectedAt = performance.now();
      const isCut = performance.now() - connectedAt > CUT_FOR_MS;
      if (!isCut && renewalDueInMs(this.#stored, Date.now()) > 0) continue;
      const urlsBefore = this.reply.natsUrls.join();
      try {
        this.#stored = await store(this.#options.folder, await this.#renewOrEnrol());
        failures = 0;
        connectedAt = performance.now();
        log.info({ expiresAt: this.reply.expiresAt }, "renewed the node's credentials");
      } catch (error) {
        failures++;
        log.warn({ error, expiresAt: this.reply.expiresAt }, "can't renew the node's credentials yet");
      }
      if (this.reply.natsUrls.join() !== urlsBefore && !isConnected()) {
        throw new AutoglmError(
          "BusUnavailable",
          "the hub has other addresses now; starting again to use them",
        );
      }
    }
  }

  async #renewOrEnrol(): Promise<EnrolmentReply> {
    try {
      return await renew(this.#options, this.reply.nodeId);
    } catch (error) {
      const { enrolToken, enrolTokenFile } = this.#options;
      const hasToken = (enrolToken ?? enrolTokenFile) !== undefined;
      if (!hasErrorCode(error, "EnrolmentRefused") || !hasToken) throw error;
      return enrol(this.#options);
    }
  }
}

/** Milliseconds until two thirds of the JWT's life are over. */
function renewalDueInMs(stored: Stored, nowMs: number): number {
  const start = Date.parse(stored.receivedAt);
  return start + ((Date.parse(stored.reply.expiresAt) - start) * 2) / 3 - nowMs;
}

async function readStored(folder: StateFolder): Promise<Stored | undefined> {
  const text = await folder.readText(FILE);
  if (text === undefined) return undefined;
  try {
    return storedSchema.parse(JSON.parse(text));
  } catch {
    // Of another version, or damaged: enrolling anew is what mends it.
    return undefined;
  }
}

async function store(folder: StateFolder, reply: EnrolmentReply): Promise<Stored> {
  const stored = { reply, receivedAt: new Date().toISOString() };
  await folder.writeText(FILE, JSON.stringify(stored));
  return stored;
}

async function enrol(options: EnrolmentOptions): Promise<EnrolmentReply> {
  const { nodeName, key } = options;
  const token = await readToken(options);
  const request: EnrolmentRequest = { nodeName, publicKey: key.publicKey, token };
  return post(options, "/enrol", request);
}

async function renew(options: EnrolmentOptions, nodeId: string): Promise<EnrolmentReply> {
  const { key } = options;
  const time = new Date().toISOString();
  const signature = Buffer.from(key.sign(renewalText({ nodeId, time }))).toString("base64");
  const request: RenewalRequest = { nodeId, publicKey: key.publicKey, time, signature };
  return post(options, "/renew", request);
}

async function readToken({ enrolToken, enrolTokenFile }: EnrolmentOptions): Promise<string> {
  if (enrolToken !== undefined) return enrolToken;
  if (enrolTokenFile === undefined) {
    throw new AutoglmError(
      "InvalidOption",
      "AUTOGLM_ENROL_TOKEN or AUTOGLM_ENROL_TOKEN_FILE is missing and this node is not enrolled; `autoglm nodes enrol NODE` prints a token",
    );
  }
  try {
    return (await readFile(enrolTokenFile, "utf8")).trim();
  } catch (cause) {
    throw new AutoglmError("NotFound", `AUTOGLM_ENROL_TOKEN_FILE: ${enrolTokenFile} can't be read`, {
      cause,
    });
  }
}

async function post(options: EnrolmentOptions, path: string, body: unknown): Promise<EnrolmentReply> {
  if (options.enrolUrl === undefined) {
    throw new AutoglmError(
      "InvalidOption",
      "AUTOGLM_ENROL_URL is missing and this node is not enrolled; give the operator's address, e.g. https://operator:8444",
    );
  }
  const url = options.enrolUrl.replace(/\/$/, "") + path;
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    text = await response.text();
  } catch (cause) {
    throw new AutoglmError("ApiUnavailable", `the operator can't be reached at ${url}`, { cause });
  }
  if (response.ok) return readReply(text, url);
  const message = refusalMessage(text) ?? `HTTP ${response.status}`;
  if (response.status >= 500 || LATER.has(response.status)) {
    throw new AutoglmError("ApiUnavailable", `the operator can't answer now: ${message}`, {
      details: { status: response.status },
    });
  }
  throw new AutoglmError("EnrolmentRefused", `the operator refused this node: ${message}`, {
    details: { status: response.status },
  });
}

function readReply(text: string, url: string): EnrolmentReply {
  const reply = enrolmentReplySchema.safeParse(parseJson(text));
  if (reply.success) return reply.data;
  throw new AutoglmError("InvalidMessage", `what answers at ${url} is no operator of this version`, {
    cause: reply.error,
    retry: "backoff",
  });
}

function refusalMessage(text: string): string | undefined {
  const refusal = refusalSchema.safeParse(parseJson(text));
  return refusal.success ? refusal.data.message.slice(0, 500) : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
