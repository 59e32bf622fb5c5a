/**
 * A grant lets the ingester judge a chunk alone, however late it comes: the operator signed "this node, with this key,
 * may write results of this assignment", and the node sends it along. Text: base64url(JSON).base64url(signature).
 */
import { createHash } from "node:crypto";
import {
  AutoglmError,
  type ChunkAddress,
  decodeMessage,
  encodeMessage,
  type Grant,
  grantSchema,
  parseChunkSubject,
  type ResultChunk,
  resultChunkSchema,
} from "@autoglm/api";
import type { BusKeys } from "./keys.ts";
import { Nkey, verifySignature } from "./nkeys.ts";

export function signGrant(keys: BusKeys, grant: Grant): string {
  const body = Buffer.from(encodeMessage(grantSchema, grant));
  const signature = new Nkey("user", keys.grant).sign(body);
  return `${body.toString("base64url")}.${Buffer.from(signature).toString("base64url")}`;
}

/** @throws AutoglmError `InvalidMessage` unless the operator signed exactly this text */
export function verifyGrant(grantPublicKey: string, text: string): Grant {
  const [body = "", signature = "", ...rest] = text.split(".");
  const bytes = Buffer.from(body, "base64url");
  const isSigned =
    rest.length === 0 && verifySignature("user", grantPublicKey, bytes, Buffer.from(signature, "base64url"));
  if (!isSigned) throw refused("the grant is not signed by the operator");
  return decodeMessage(grantSchema, bytes);
}

/** What the node signs: the subject, a newline, the sha256 of the body. */
export function chunkSigningInput(subject: string, body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${subject}\n`), createHash("sha256").update(body).digest()]);
}

/** A chunk as it came off the bus; nothing about it is proved yet. */
export interface ReceivedChunk {
  readonly subject: string;
  /** Taken from the subject. */
  readonly address: ChunkAddress;
  readonly body: Uint8Array;
  readonly grant: string;
  readonly signature: Uint8Array;
  /** Position in the stream; starts again after a wipe. */
  readonly sequence: number;
}

/**
 * Proves who wrote a chunk: the operator signed the grant, the grant's node signed subject and body, and subject, grant
 * and body name the same assignment.
 * @throws AutoglmError `InvalidMessage`, never to be retried
 */
export function verifyChunk(
  grantPublicKey: string,
  received: Omit<ReceivedChunk, "sequence" | "address">,
): { readonly grant: Grant; readonly chunk: ResultChunk } {
  const address = parseChunkSubject(received.subject);
  if (!address) throw refused("the subject is not one of a chunk");
  const grant = verifyGrant(grantPublicKey, received.grant);
  if (!isSameAssignment(grant, address))
    throw refused("the grant is for another assignment than the subject");
  const input = chunkSigningInput(received.subject, received.body);
  if (!verifySignature("user", grant.nodeKey, input, received.signature)) {
    throw refused("the chunk is not signed by the node of its grant");
  }
  const chunk = decodeMessage(resultChunkSchema, received.body);
  if (!isSameAssignment({ ...chunk.key, node: chunk.node }, address) || chunk.chunk !== address.chunk) {
    throw refused("the body names another chunk than the subject");
  }
  return { grant, chunk };
}

type AssignmentOfNode = Pick<ChunkAddress, "node" | "task" | "run" | "epoch" | "shard">;

function isSameAssignment(left: AssignmentOfNode, right: AssignmentOfNode): boolean {
  return (
    left.node === right.node &&
    left.task === right.task &&
    left.run === right.run &&
    left.epoch === right.epoch &&
    left.shard === right.shard
  );
}

const refused = (why: string) => new AutoglmError("InvalidMessage", why, { retry: "never" });
