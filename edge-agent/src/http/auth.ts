import { readFileSync } from "node:fs";
import { timingSafeEqual } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import { AutoglmError } from "@autoglm/api";

export interface AuthOptions {
  readonly host: string;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
}

const LEAST_LENGTH = 16;

/**
 * Checks `authorization` headers in constant time. Without a token everybody is let in, so the address must be one that
 * only this machine reaches.
 * @throws AutoglmError `InvalidOption`
 */
export function createAuth(options: AuthOptions): (header: string | undefined) => boolean {
  const token = options.token ?? readToken(options.tokenFile);
  if (token === undefined) {
    if (isLoopback(options.host)) return () => true;
    throw new AutoglmError(
      "InvalidOption",
      `AUTOGLM_HTTP_HOST is ${options.host}, which others can reach: set AUTOGLM_HTTP_TOKEN_FILE (or AUTOGLM_HTTP_TOKEN), or listen on 127.0.0.1`,
    );
  }
  if (token.length < LEAST_LENGTH)
    throw new AutoglmError(
      "InvalidOption",
      `the token for the inference port must have at least ${LEAST_LENGTH} characters`,
    );
  const expected = Buffer.from(token, "utf8");
  return (header) => {
    if (header === undefined || !/^bearer /i.test(header)) return false;
    const sent = Buffer.from(header.slice("bearer ".length).trim(), "utf8");
    return sent.length === expected.length && timingSafeEqual(sent, expected);
  };
}

function readToken(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new AutoglmError("InvalidOption", `AUTOGLM_HTTP_TOKEN_FILE: ${file} can't be read`, { cause });
  }
}

function isLoopback(host: string): boolean {
  if (isIPv4(host)) return host.startsWith("127.");
  return host === "localhost" || (isIPv6(host) && host === "::1");
}
