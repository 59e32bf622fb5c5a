/**
 * NATS's text form of Ed25519 keys (nkeys), with every signature made by node:crypto: 36,000 a second, where the
 * pure-JavaScript implementation that the client brings makes 140.
 *
 *   public key  base32( prefix, 32 bytes, crc16 )              U… user, A… account, O… operator
 *   seed        base32( 'S' and prefix in 2 bytes, 32 bytes, crc16 )   SU…, SA…, SO…
 *
 * crc16 is CRC-16/XMODEM, little-endian. Source: github.com/nats-io/nkeys, strkey.go.
 */
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from "node:crypto";
import { AutoglmError } from "@autoglm/api";

/** What a key is for; it decides the first letter of its text. */
export type NkeyRole = "operator" | "account" | "user";

const ROLE_PREFIX: Readonly<Record<NkeyRole, number>> = { operator: 14 << 3, account: 0, user: 20 << 3 };
const SEED_PREFIX = 18 << 3;
const KEY_BYTES = 32;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/** DER of a raw Ed25519 key up to its 32 bytes (RFC 8410). */
const PKCS8_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI_HEAD = Buffer.from("302a300506032b6570032100", "hex");

/** RFC 4648 without padding. */
export function base32Encode(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(held >>> (bits - 5)) & 31];
    held &= (1 << bits) - 1;
  }
  if (bits > 0) text += ALPHABET[(held << (5 - bits)) & 31];
  return text;
}

/** @throws AutoglmError `InvalidMessage` for a character outside the alphabet */
export function base32Decode(text: string): Buffer {
  const bytes: number[] = [];
  let bits = 0;
  let held = 0;
  for (const character of text) {
    const value = ALPHABET.indexOf(character);
    if (value < 0) throw invalid("not base32");
    held = (held << 5) | value;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >>> bits) & 255);
    held &= (1 << bits) - 1;
  }
  return Buffer.from(bytes);
}

/** CRC-16/XMODEM: polynomial 0x1021, start 0. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++)
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

function encode(head: readonly number[], key: Uint8Array): string {
  const body = Buffer.from([...head, ...key]);
  const check = crc16(body);
  return base32Encode(Buffer.from([...body, check & 255, check >>> 8]));
}

/** The bytes between prefix and checksum. Never quotes the text: it may be a seed. */
function decode(text: string, head: readonly number[]): Buffer {
  const all = base32Decode(text);
  const body = all.subarray(0, -2);
  const isRightLength = all.length === head.length + KEY_BYTES + 2;
  if (!isRightLength || crc16(body) !== all.readUInt16LE(all.length - 2))
    throw invalid("wrong length or checksum");
  if (head.some((byte, at) => body[at] !== byte)) throw invalid("wrong prefix");
  return body.subarray(head.length);
}

/** The letter S in the first five bits of a seed, the role in the next eight. */
function seedHead(role: NkeyRole): readonly number[] {
  const prefix = ROLE_PREFIX[role];
  return [SEED_PREFIX | (prefix >>> 5), (prefix & 31) << 3];
}

const invalid = (why: string) =>
  new AutoglmError("InvalidMessage", `not an nkey of this kind: ${why}`, { retry: "never" });

/** A key pair. The seed is no own property, so that neither a log nor JSON shows it. */
export class Nkey {
  readonly publicKey: string;
  readonly #seed: string;
  readonly #private: KeyObject;

  /** @throws AutoglmError `InvalidMessage` for a damaged seed or one of another role */
  constructor(role: NkeyRole, seed: string) {
    const raw = decode(seed, seedHead(role));
    this.#seed = seed;
    this.#private = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, raw]), format: "der", type: "pkcs8" });
    const spki = createPublicKey(this.#private).export({ format: "der", type: "spki" });
    this.publicKey = encode([ROLE_PREFIX[role]], spki.subarray(-KEY_BYTES));
  }

  get seed(): string {
    return this.#seed;
  }

  /** Ed25519 signature, 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array {
    return sign(null, bytes, this.#private);
  }
}

/** A new random seed. */
export function createSeed(role: NkeyRole): string {
  return encode(seedHead(role), randomBytes(KEY_BYTES));
}

/** A node's key, born on the node; its seed never leaves it. */
export class NodeKey extends Nkey {
  static generate(): NodeKey {
    return new NodeKey(createSeed("user"));
  }

  static fromSeed(seed: string): NodeKey {
    return new NodeKey(seed);
  }

  private constructor(seed: string) {
    super("user", seed);
  }
}

/**
 * Verifies an Ed25519 signature by an nkey of that role.
 * @throws AutoglmError `InvalidMessage` when the public key is no key of that role
 */
export function verifySignature(
  role: NkeyRole,
  publicKey: string,
  bytes: Uint8Array,
  signature: Uint8Array,
): boolean {
  const raw = decode(publicKey, [ROLE_PREFIX[role]]);
  const key = createPublicKey({ key: Buffer.concat([SPKI_HEAD, raw]), format: "der", type: "spki" });
  return verify(null, bytes, key, signature);
}
