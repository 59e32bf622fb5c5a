/**
 * NATS's JSON web tokens (version 2, algorithm `ed25519-nkey`): header.claims.signature, each base64url. The claims'
 * `jti` is the SHA-512/256 of the claims without it, base32. Source: github.com/nats-io/jwt, claims.go.
 */
import { createHash } from "node:crypto";
import { AutoglmError } from "@autoglm/api";
import { base32Encode, type Nkey } from "./nkeys.ts";

export interface JwtClaims {
  /** Public key that the token speaks about. */
  readonly sub: string;
  readonly name: string;
  /** Seconds since 1970. */
  readonly iat: number;
  readonly exp?: number;
  /** The part that NATS reads: permissions, limits, imports. */
  readonly nats: Readonly<Record<string, unknown>>;
}

const HEADER = base64url(JSON.stringify({ typ: "JWT", alg: "ed25519-nkey" }));

export function encodeJwt(signer: Nkey, claims: JwtClaims): string {
  const unnumbered = { ...claims, iss: signer.publicKey, jti: "" };
  const jti = base32Encode(createHash("sha512-256").update(JSON.stringify(unnumbered)).digest());
  const signed = `${HEADER}.${base64url(JSON.stringify({ ...unnumbered, jti }))}`;
  return `${signed}.${base64url(signer.sign(Buffer.from(signed)))}`;
}

/**
 * The claims, unverified: for a token that this process made or got from its own server.
 * @throws AutoglmError `InvalidMessage` for anything that is no token
 */
export function decodeJwt(token: string): JwtClaims {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    if (typeof claims === "object" && claims !== null && "sub" in claims && "nats" in claims) {
      // The server or this module signed it; NATS's schema is not checked a second time here.
      return claims as JwtClaims;
    }
  } catch (cause) {
    throw new AutoglmError("InvalidMessage", "not a JWT", { cause, retry: "never" });
  }
  throw new AutoglmError("InvalidMessage", "a JWT without the claims of NATS", { retry: "never" });
}

function base64url(value: string | Uint8Array): string {
  return Buffer.from(value).toString("base64url");
}
