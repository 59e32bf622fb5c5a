/**
 * Whose error it is. A document that the authors of a parser did not think of makes it throw whatever it likes: that is the
 * document's error and ends its item, else an archive would end at the first such file, and again when it is read again.
 * What the source of the bytes throws, and what the machine refuses (a full disk, too many open files), says nothing about
 * the document: it goes on as it is, and is tried again where its own code says so.
 */
import { isAutoglmError, type AutoglmError } from "@autoglm/api";
import { refuse, type ByteSource } from "./items.ts";

export class SourceWatch {
  #hasFailed = false;

  /** The same bytes; notes when they end in an error. */
  watched(source: ByteSource): ByteSource {
    return Object.assign(this.#bytes(source), source.file && { file: source.file });
  }

  async *#bytes(source: ByteSource): AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }

  /** What is wrong with the document; undefined where it is not the document's error. */
  problemOf(error: unknown): AutoglmError | undefined {
    if (isAutoglmError(error)) return error.family === "user" ? error : undefined;
    if (this.#hasFailed || isSystemError(error)) return undefined;
    // What a parser says may quote the document; its kind of error does not.
    const kind = error instanceof Error ? error.name : "an error";
    return refuse(
      "ItemInvalid",
      `it can't be read (${kind}); save it again with the program that made it, or as text, csv or jsonl`,
      error,
    );
  }
}

/** Of a call to the operating system: those alone name it. */
const isSystemError = (error: unknown): boolean => error instanceof Error && "syscall" in error;
