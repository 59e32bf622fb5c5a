/** Verifies Ed25519 signatures by an nkey; its text form is described in github.com/nats-io/nkeys, strkey.go. */
import { createPublicKey, verify } from "node:crypto";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/** DER of a raw Ed25519 public key up to its 32 bytes (RFC 8410). */
const SPKI_HEAD = Buffer.from("302a300506032b6570032100", "hex");

/** @param publicKey U…, 56 characters: one byte of prefix, 32 of key, two of checksum, in base32 */
export function verifyNodeSignature(publicKey: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  let held = 0n;
  for (const character of publicKey) held = (held << 5n) | BigInt(ALPHABET.indexOf(character));
  const raw = Buffer.from(held.toString(16).padStart(70, "0"), "hex").subarray(1, 33);
  const key = createPublicKey({ key: Buffer.concat([SPKI_HEAD, raw]), format: "der", type: "spki" });
  return verify(null, bytes, key, signature);
}
