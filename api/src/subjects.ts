import { AutoglmError } from "./errors.ts";
import { NODE_ID_PATTERN } from "./names.ts";

/** Streams of the account CLOUD. */
export const STREAM_DESIRED = "DESIRED";
export const STREAM_SPECS = "SPECS";
export const STREAM_RESULTS = "RESULTS";
export const STREAM_LEDGER = "LEDGER";

/** Where an assignment's chunk of results comes from; the part of the subject that the agent can't forge is `node`. */
export interface ChunkAddress {
  readonly node: string;
  /** uid of the task. */
  readonly task: string;
  readonly run: number;
  readonly epoch: number;
  readonly shard: number;
  /** Counted from 0, without gaps, per (task, run, epoch, shard). */
  readonly chunk: number;
}

const NODE_ID = new RegExp(NODE_ID_PATTERN);
const TOKEN = /^[A-Za-z0-9-]+$/;

function token(value: string, pattern: RegExp, what: string): string {
  if (!pattern.test(value)) {
    throw new AutoglmError("InvalidMessage", `${what} "${value}" can't be part of a subject`, {
      details: { what, value },
    });
  }
  return value;
}
const nodeToken = (node: string) => token(node, NODE_ID, "node id");

/** The node's desired document. */
export const desiredSubject = (node: string) => `desired.${nodeToken(node)}`;
/** Poke: fetch your document. The payload is ignored, because others can make the server send one. */
export const pokeSubject = (node: string) => `live.desired.${nodeToken(node)}`;
/** A work specification or a part of its input, by the sha256 of its bytes. */
export const specSubject = (node: string, sha256: string) =>
  `spec.${nodeToken(node)}.${token(sha256, TOKEN, "digest")}`;
/** The node's heartbeat; also sent at once when something changes. */
export const heartbeatSubject = (node: string) => `hb.${nodeToken(node)}`;
/** Direct get of the desired document, as the agent's account sees it. */
export const fetchDesiredSubject = (node: string) => `HUB.GET.desired.${nodeToken(node)}`;
/** Direct get of a specification, as the agent's account sees it. */
export const fetchSpecSubject = (node: string, sha256: string) =>
  `HUB.GET.spec.${nodeToken(node)}.${token(sha256, TOKEN, "digest")}`;
/** Ledger counts of a task, from the ingester to the operator; one message per task is kept. */
export const ledgerSubject = (task: string) => `ledger.${token(task, TOKEN, "task uid")}`;
/** Request to the ingester: forget the results of a deleted task. */
export const FORGET_SUBJECT = "ingest.forget";

/** Subject of one chunk: occupied once, so that the same chunk can't be stored twice. */
export function chunkSubject(address: ChunkAddress): string {
  const { node, task, run, epoch, shard, chunk } = address;
  return `res.${nodeToken(node)}.${token(task, TOKEN, "task uid")}.${run}.${epoch}.${shard}.${chunk}`;
}

/** A count in the one way of writing it, so that no two subjects mean the same chunk. */
const COUNT = "(0|[1-9][0-9]{0,8})";
const CHUNK_SUBJECT = new RegExp(
  `^res\\.([^.]+)\\.([A-Za-z0-9-]+)\\.${COUNT}\\.${COUNT}\\.(0|[1-9][0-9]{0,3})\\.${COUNT}$`,
);

/** Inverse of {@link chunkSubject}; undefined for anything else. */
export function parseChunkSubject(subject: string): ChunkAddress | undefined {
  const [, node = "", task = "", run, epoch, shard, chunk] = CHUNK_SUBJECT.exec(subject) ?? [];
  if (!NODE_ID.test(node)) return undefined;
  return { node, task, run: Number(run), epoch: Number(epoch), shard: Number(shard), chunk: Number(chunk) };
}
