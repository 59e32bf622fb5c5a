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
/**
 * Array buffers of the thread, which the limit of its heap leaves out: a few hundred bytes of parquet can ask for gigabytes of
 * them. A row group of 256 MiB is there packed, unpacked and as columns.
 */
const BUFFERS_MIB = 1024;
const WATCH_MS = 100;
const MIB = 1024 * 1024;

export interface DocumentLimits {
  readonly batchMs?: number;
  readonly documentMs?: number;
  readonly heapMib?: number;
  readonly buffersMib?: number;
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
      buffersMib: limits.buffersMib ?? BUFFERS_MIB,
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
    const limitBytes = this.#limits.buffersMib * MIB;
    const watch = setInterval(() => {
      void bufferBytes(worker).then((bytes) => {
        if (bytes > limitBytes) ended.abort("buffers");
      });
    }, WATCH_MS);
    const onExit = () => ended.abort("exit");
    worker.once("exit", onExit);
    try {
      const [message] = (await once(worker, "message", { signal: ended.signal })) as [FromWorker];
      return message;
    } catch (error) {
      if (ended.signal.reason === "time") throw tooSlow(format, this.#limits.batchMs, error);
      if (ended.signal.reason === "buffers") throw needsTooMuch(format, this.#limits.buffersMib, error);
      if (ended.signal.reason === "exit" || isOutOfMemory(error)) {
        throw needsTooMuch(format, this.#limits.heapMib, error);
      }
      throw refuse("ItemInvalid", `the ${format} document can't be read; save it again`, error);
    } finally {
      clearTimeout(timer);
      clearInterval(watch);
      worker.off("exit", onExit);
    }
  }
}

const isOutOfMemory = (error: unknown) =>
  error instanceof Error && "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY";

/** Asked from outside: the thread itself answers nothing while it reads. 0 once it has ended. */
async function bufferBytes(worker: Worker): Promise<number> {
  try {
    return (await worker.getHeapStatistics()).external_memory;
  } catch {
    return 0;
  }
}

const needsTooMuch = (format: string, limitMib: number, cause: unknown) =>
  refuse(
    "InputTooLarge",
    `the ${format} document needs more than ${limitMib} MiB to be read; split it, or convert it to csv or jsonl`,
    cause,
  );

const tooSlow = (format: string, limitMs: number, cause?: unknown) =>
  refuse(
    "InputTooLarge",
    `the ${format} document takes more than ${limitMs / 1000} s to read; split it, or save it again in a simpler form`,
    cause,
  );
