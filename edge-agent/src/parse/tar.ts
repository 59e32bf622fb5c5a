import { Header, Pax } from "tar";
import { refuse } from "./items.ts";
import { isFile, nameProblem, tooManyMembers, MAX_MEMBERS, type Member } from "./zip.ts";

const BLOCK_BYTES = 512;
/** Of a header that only says a long name. */
const MAX_META_BYTES = 1024 * 1024;

/**
 * Files of a tar archive, read as they come: each has to be read or left before the next one is asked for. tar's own
 * parser pushes; this one is pulled by its reader, so an archive of any size passes through one block at a time.
 * @throws AutoglmError `ItemInvalid` where the archive is damaged or cut off
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<Member> {
  const reader = new BlockReader(source);
  let pax: Pax | undefined;
  let globalPax: Pax | undefined;
  let longName: string | undefined;
  let members = 0;
  try {
    for (
      let block = await reader.take(BLOCK_BYTES);
      block !== undefined;
      block = await reader.take(BLOCK_BYTES)
    ) {
      const header = headerOf(block, pax, globalPax);
      if (header.nullBlock) continue;
      if (!header.cksumValid) throw damaged();
      const size = header.size ?? 0;
      // A pax header may say anything: 0.5, Infinity.
      if (!Number.isSafeInteger(size) || size < 0) throw damaged();
      if (isMeta(header.type)) {
        if (size > MAX_META_BYTES) throw damaged();
        const bytes = await reader.take(size);
        if (bytes === undefined || !(await reader.skip(padding(size)))) throw damaged();
        const text = bytes.toString("utf8");
        if (header.type === "ExtendedHeader") pax = Pax.parse(text, pax, false);
        else if (header.type === "GlobalExtendedHeader") globalPax = Pax.parse(text, globalPax, true);
        else if (header.type !== "NextFileHasLongLinkpath") longName = text.replace(/\0.*$/s, "");
        continue;
      }
      const name = longName ?? header.path ?? "";
      pax = longName = undefined;
      const body = reader.body(size);
      if (isFileType(header.type) && isFile(name)) {
        if (++members > MAX_MEMBERS) throw tooManyMembers();
        const refusal = nameProblem(name);
        yield { name, size, ...(refusal !== undefined && { refusal }), open: () => body };
      }
      if (!(await reader.skipBody()) || !(await reader.skip(padding(size)))) throw damaged();
    }
  } finally {
    await reader.close();
  }
}

/** tar throws plain errors at numbers that are none. */
function headerOf(block: Buffer, pax: Pax | undefined, globalPax: Pax | undefined): Header {
  try {
    return new Header(block, 0, pax, globalPax);
  } catch (error) {
    throw damaged(error);
  }
}

const padding = (size: number) => (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;

const isMeta = (type: string) =>
  [
    "ExtendedHeader",
    "GlobalExtendedHeader",
    "NextFileHasLongPath",
    "NextFileHasLongLinkpath",
    "OldGnuLongPath",
  ].includes(type);

/** Links, devices and folders hold nothing; a link is never followed. */
const isFileType = (type: string) => type === "File" || type === "OldFile" || type === "ContiguousFile";

const damaged = (cause?: unknown) =>
  refuse("ItemInvalid", "the tar archive is damaged or cut off; pack it again", cause);

class BlockReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #bodyLeft = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** undefined at the end of the archive, also in the middle of what was asked for. */
  async take(length: number): Promise<Buffer | undefined> {
    const parts: Uint8Array[] = [];
    for (let left = length; left > 0;) {
      const part = await this.#upTo(left);
      if (part === undefined) return undefined;
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  async skip(length: number): Promise<boolean> {
    for (let left = length; left > 0;) {
      const part = await this.#upTo(left);
      if (part === undefined) return false;
      left -= part.length;
    }
    return true;
  }

  /** @throws AutoglmError `ItemInvalid` when the archive ends in it */
  body(size: number): AsyncGenerator<Uint8Array> {
    this.#bodyLeft = size;
    return this.#rest();
  }

  async *#rest(): AsyncGenerator<Uint8Array> {
    while (this.#bodyLeft > 0) {
      const part = await this.#upTo(this.#bodyLeft);
      if (part === undefined) throw damaged();
      this.#bodyLeft -= part.length;
      yield part;
    }
  }

  async skipBody(): Promise<boolean> {
    const left = this.#bodyLeft;
    this.#bodyLeft = 0;
    return this.skip(left);
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #upTo(length: number): Promise<Uint8Array | undefined> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#chunk = next.value;
    }
    const part = this.#chunk.subarray(0, length);
    // Who asks for less than a byte would ask for ever.
    if (part.length === 0) throw damaged();
    this.#chunk = this.#chunk.subarray(part.length);
    return part;
  }
}
