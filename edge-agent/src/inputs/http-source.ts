/** A document over HTTP, streamed. */
import { lookup as dnsLookup, type LookupAddress } from "node:dns";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { LookupFunction } from "node:net";
import { AutoglmError, isAutoglmError } from "@autoglm/api";
import { addressRefusal, hostRefusal, type AllowedHosts } from "./allowed-hosts.ts";

const MAX_REDIRECTS = 5;
/** Until the answer begins, and between its bytes; waiting for the reader does not count. */
const SILENCE_MS = 60_000;

export interface HttpSourceOptions {
  /** undefined: the address is the operator's own, not a user's. */
  readonly allowed?: AllowedHosts;
  readonly maxBytes: number;
  readonly silenceMs?: number;
  readonly signal?: AbortSignal;
  /** Headers for an address, such as its signature; only for the first one, never for where it redirects to. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Shown in messages; by default the address without what may be secret in it. */
  readonly name?: string;
  /** Called with what identifies the content, where the server says it. @throws what ends the reading */
  readonly onValidator?: (validator: string) => void;
}

/**
 * Bytes of a document.
 * @throws AutoglmError `InputHostNotAllowed`, `InputUnavailable`, `InputTooLarge`, `Aborted`
 */
export async function* readHttp(address: string, options: HttpSourceOptions): AsyncGenerator<Uint8Array> {
  const { maxBytes, silenceMs = SILENCE_MS } = options;
  const name = options.name ?? shownAddress(address);
  const response = await follow(address, options, name);
  let size = 0;
  try {
    noteValidator(response, options);
    const declared = Number(response.headers["content-length"] ?? 0);
    if (declared > maxBytes) throw tooLarge(name, maxBytes);
    const chunks: AsyncIterator<Uint8Array> = response[Symbol.asyncIterator]();
    for (;;) {
      const next = await withinSilence(chunks.next(), silenceMs, name);
      if (next.done === true) break;
      size += next.value.length;
      if (size > maxBytes) throw tooLarge(name, maxBytes);
      yield next.value;
    }
    if (!response.complete) throw unavailable(`${name} ended before it was whole`);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (isAutoglmError(error)) throw error;
    throw unavailable(`${name} ended before it was whole`, error);
  } finally {
    response.destroy();
  }
}

/** An address for messages: its query, its fragment and its user may hold a secret. */
export const shownAddress = (address: string): string =>
  address.replace(/[?#].*$/s, "").replace(/^([a-z]+:\/\/)[^/]*@/i, "$1");

async function follow(address: string, options: HttpSourceOptions, name: string): Promise<IncomingMessage> {
  // The error of `new URL` would carry the whole address.
  let url = URL.parse(address);
  if (url === null) throw unavailable(`${name} is no address that can be read`, undefined, true);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const { allowed } = options;
    const refusal = allowed && hostRefusal(url, allowed);
    if (refusal !== undefined) throw notAllowed(name, redirects, refusal);
    const response = await send(url, options, redirects === 0, name);
    const { statusCode = 0, headers } = response;
    if (statusCode >= 200 && statusCode < 300) return response;
    response.destroy();
    const { location } = headers;
    if (![301, 302, 303, 307, 308].includes(statusCode) || location === undefined)
      throw refused(name, statusCode);
    const next = URL.parse(location, url.href);
    if (next === null) throw unavailable(`${name} redirects to an address that is none`, undefined, true);
    if (allowed === undefined)
      throw unavailable(`${name} redirects elsewhere; set the address that it redirects to`, undefined, true);
    if (url.protocol === "https:" && next.protocol !== "https:") {
      throw notAllowed(
        name,
        redirects + 1,
        "it redirects from https to http; give the address that it redirects to, if that is meant",
      );
    }
    url = next;
  }
  throw unavailable(`${name} redirects more than ${MAX_REDIRECTS} times`, undefined, true);
}

async function send(
  url: URL,
  options: HttpSourceOptions,
  isFirst: boolean,
  name: string,
): Promise<IncomingMessage> {
  const { allowed, signal, silenceMs = SILENCE_MS } = options;
  const request = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, {
    // Compressed or not is the document's own: nothing is unpacked on the way.
    headers: {
      accept: "*/*",
      "accept-encoding": "identity",
      "user-agent": "autoglm-edge-agent",
      ...(isFirst && options.headers),
    },
    agent: false,
    ...(signal && { signal }),
    ...(allowed && { lookup: checkedLookup(allowed) }),
  });
  request.end();
  try {
    const [response] = (await withinSilence(once(request, "response"), silenceMs, name)) as [IncomingMessage];
    return response;
  } catch (error) {
    request.destroy();
    signal?.throwIfAborted();
    if (isAutoglmError(error)) throw error;
    const refusal = refusalIn(error);
    if (refusal !== undefined) throw notAllowed(name, isFirst ? 0 : 1, refusal);
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw unavailable(`${name} can't be reached${code}`, error);
  }
}

/** Checks the addresses that are connected to: what a name pointed to a moment ago says nothing. */
function checkedLookup(allowed: AllowedHosts): LookupFunction {
  return (hostname, options, done) => {
    dnsLookup(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
      if (error !== null) return done(error, "", 0);
      const usable = found.filter(({ address }) => addressRefusal(address, allowed) === undefined);
      const [first] = usable;
      if (first === undefined) {
        const refusal = addressRefusal(found[0]?.address ?? "", allowed) ?? "it has no address";
        return done(Object.assign(new Error(refusal), { code: REFUSED }), "", 0);
      }
      if (options.all === true) done(null, usable);
      else done(null, first.address, first.family);
    });
  };
}

const REFUSED = "ADDRESS_REFUSED";

const refusalIn = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && error.code === REFUSED ? error.message : undefined;

async function withinSilence<T>(promise: Promise<T>, silenceMs: number, name: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(unavailable(`${name} sends nothing for ${silenceMs / 1000} s`)),
      silenceMs,
    );
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}

function noteValidator({ headers }: IncomingMessage, { onValidator }: HttpSourceOptions): void {
  const validator = headers.etag ?? headers["last-modified"];
  if (validator !== undefined) onValidator?.(validator);
}

const unavailable = (message: string, cause?: unknown, isFinal = false) =>
  new AutoglmError("InputUnavailable", message, { cause, ...(isFinal && { retry: "never" }) });

/** What asking again will not change is the author's to mend. */
function refused(name: string, status: number): AutoglmError {
  const isFinal = status >= 300 && status < 500 && status !== 408 && status !== 425 && status !== 429;
  const mend = isFinal ? "check the address and who may read it" : "it is tried again";
  return new AutoglmError("InputUnavailable", `${name} answers with HTTP status ${status}; ${mend}`, {
    details: { status },
    ...(isFinal && { retry: "never" }),
  });
}

const notAllowed = (name: string, redirects: number, refusal: string) =>
  new AutoglmError(
    "InputHostNotAllowed",
    `${name}${redirects > 0 ? " redirects elsewhere" : ""}: ${refusal}`,
  );

const tooLarge = (name: string, maxBytes: number) =>
  new AutoglmError(
    "InputTooLarge",
    `${name} has more than ${Math.floor(maxBytes / 1024 ** 2)} MiB, the limit of AUTOGLM_INPUT_LIMIT on the node; split it, or raise the limit`,
    { details: { limit: maxBytes } },
  );
