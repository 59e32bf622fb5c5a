/** The agent's side of the thread that parses whole documents. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { refuse, type Row } from "./items.ts";
import type { FromWorker, OpenDocument, ToWorker } from "./worker-protocol.ts";

/** Longest silence: of a page, a sheet, a row group. */
const BATCH_TIME_MS = 30_000;
/** Of a whole document that isn't read in parts that have limits of their own. */
const DOCUMENT_TIME_MS = 300_000;
/** Heap of the thread. What exceeds it ends the thread, not the process. */
const HEAP_MIB = 512;

export interface DocumentLimits {
  readonly batchMs?: number;
  readonly documentMs?: number;
  readonly heapMib?: number;
}

export type DocumentRequest = Omit<OpenDocument, "kind">;

/** Threads of one input: started with the first document that needs one, used for the next, ended with the input. */
export class DocumentWorker {
  readonly #limits: Required<DocumentLimits>;
  #worker: Worker | undefined;

  constructor(limits: DocumentLimits = {}) {
    this.#limits = {
      batchMs: limits.batchMs ?? BATCH_TIME_MS,
      documentMs: limits.documentMs ?? DOCUMENT_TIME_MS,
      heapMib: limits.heapMib ?? HEAP_MIB,
    };
  }

  /**
   * Batches of rows as the thread parses them; it waits while nobody asks.
   * @throws AutoglmError as the format's reader, or `ItemInvalid`, `InputTooLarge` for what needs too long or too much
   */
  async *parse(
    request: DocumentRequest,
  ): AsyncGenerator<{ readonly group: string; readonly rows: readonly Row[] }> {
    const worker = (this.#worker ??= this.#start());
    let isDone = false;
    let spentMs = 0;
    try {
      let message: ToWorker = { kind: "open", ...request };
      for (;;) {
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
        worker.postMessage(message);
        const startedMs = performance.now();
        const answer = await this.#next(worker, request.format);
        spentMs += performance.now() - startedMs;
        if (answer.kind !== "rows") {
          isDone = true;
          if (answer.kind === "end") return;
          throw refuse(answer.code, answer.message);
        }
        yield answer;
        if (spentMs > this.#limits.documentMs && request.format !== "parquet") {
          throw tooSlow(request.format, this.#limits.documentMs);
        }
        message = { kind: "more" };
      }
    } finally {
      // In the middle of a document it can't be used for the next one.
      if (!isDone) await this.close();
    }
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #start(): Worker {
    const entry = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./parse-worker.js";
    const worker = new Worker(new URL(entry, import.meta.url), {
      // Parsers warn about what they find in documents; logs hold no input.
      stdout: true,
      stderr: true,
      execArgv: [],
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: this.#limits.heapMib },
    });
    // What waits for an answer hears it besides; without a listener it would end the process.
    worker.on("error", () => undefined);
    worker.stdout.resume();
    worker.stderr.resume();
    worker.unref();
    return worker;
  }

  async #next(worker: Worker, format: string): Promise<FromWorker> {
    const ended = new AbortController();
    const timer = setTimeout(() => ended.abort("time"), this.#limits.batchMs);
    const onExit = () => ended.abort("exit");
    worker.once("exit", onExit);
    try {
      const [message] = (await once(worker, "message", { signal: ended.signal })) as [FromWorker];
      return message;
    } catch (error) {
      if (ended.signal.reason === "time") throw tooSlow(format, this.#limits.batchMs, error);
      if (ended.signal.reason === "exit" || isOutOfMemory(error)) {
        throw refuse(
          "InputTooLarge",
          `the ${format} document needs more than ${this.#limits.heapMib} MiB to be read; split it, or convert it to csv or jsonl`,
          error,
        );
      }
      throw refuse("ItemInvalid", `the ${format} document can't be read; save it again`, error);
    } finally {
      clearTimeout(timer);
      worker.off("exit", onExit);
    }
  }
}

const isOutOfMemory = (error: unknown) =>
  error instanceof Error && "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY";

const tooSlow = (format: string, limitMs: number, cause?: unknown) =>
  refuse(
    "InputTooLarge",
    `the ${format} document takes more than ${limitMs / 1000} s to read; split it, or save it again in a simpler form`,
    cause,
  );
