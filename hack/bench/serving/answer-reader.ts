/** Reads HTTP answers from the bytes of a connection: the status, and the body where somebody wants it. No pipelining. */

const HEAD_END = "\r\n\r\n";

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Reads one answer after another from what comes in; `feed` gives the answer once its last byte is there. */
export class AnswerReader {
  #rest: Buffer | undefined;
  /** Bytes of the body that are still to come, when the head is known and the body is not kept. */
  #missing = 0;
  #status = 0;
  readonly #keepsBody: boolean;

  constructor(keepsBody: boolean) {
    this.#keepsBody = keepsBody;
  }

  feed(chunk: Buffer): Answer | undefined {
    if (this.#missing > 0) {
      this.#missing -= chunk.length;
      return this.#missing > 0 ? undefined : { status: this.#status, body: "" };
    }
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    const headEnd = bytes.indexOf(HEAD_END);
    if (headEnd < 0) return this.#wait(bytes);
    const head = bytes.toString("latin1", 0, headEnd);
    const bodyStart = headEnd + HEAD_END.length;
    this.#status = Number(head.slice(9, 12));
    const length = /content-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) {
      // Chunked: whole when the last, empty chunk is there.
      if (!bytes.subarray(bodyStart).toString("latin1").endsWith("0\r\n\r\n")) return this.#wait(bytes);
      const chunks = bytes.subarray(bodyStart).toString("utf8");
      this.#rest = undefined;
      return { status: this.#status, body: joinChunks(chunks) };
    }
    const missing = bodyStart + Number(length) - bytes.length;
    if (missing > 0 && this.#keepsBody) return this.#wait(bytes);
    this.#rest = undefined;
    this.#missing = Math.max(0, missing);
    if (missing > 0) return undefined;
    return { status: this.#status, body: this.#keepsBody ? bytes.subarray(bodyStart).toString("utf8") : "" };
  }

  /** The read buffer is used again: what is kept of it is copied. */
  #wait(bytes: Buffer): undefined {
    this.#rest = Buffer.from(bytes);
    return undefined;
  }
}

const joinChunks = (text: string) => text.replace(/(?:^|\r\n)[0-9a-fA-F]+\r\n(?:\r\n$)?/g, "");
