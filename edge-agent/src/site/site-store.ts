/**
 * Results of SiteOnly tasks: they stay on the node, and only their digests go up.
 *
 *     result ──append, fdatasync──▶ <folder>/<task>/<run>.jsonl        {item, output, …} a line each, in the order made
 *        └──▶ {item, withheld: {sha256 of the output's JSON}} ──▶ outbox
 *
 * The file is written before its chunk is sealed, so a digest that went up always has its result here. An item that was
 * computed again after a crash has two lines; the last one is the one that counts. When there is no room, results of
 * tasks that the node no longer has are given up, oldest first; those of its own tasks never: then the work waits.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { AutoglmError, formatQuantity, type AssignmentKey, type ItemResult } from "@autoglm/api";

export interface SiteStoreOptions {
  readonly folder: string;
  readonly limitBytes: number;
  /** Whether the node still has the task. */
  readonly isListed: (task: string) => boolean;
}

export class SiteStore {
  readonly #options: SiteStoreOptions;
  readonly #sizes = new Map<string, number>();

  private constructor(options: SiteStoreOptions) {
    this.#options = options;
  }

  static async open(options: SiteStoreOptions): Promise<SiteStore> {
    const store = new SiteStore(options);
    await mkdir(options.folder, { recursive: true });
    for (const task of await readdir(options.folder)) store.#sizes.set(task, await store.#sizeOf(task));
    return store;
  }

  get bytes(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  /**
   * Keeps the outputs here and returns what may leave in their place. Errors of items hold no text and stay as they are.
   * @throws AutoglmError `OutboxFull` when there is no room
   */
  async withhold({ task, run }: AssignmentKey, results: readonly ItemResult[]): Promise<ItemResult[]> {
    const kept = results.filter(({ output }) => output !== undefined);
    const text = kept.map((result) => `${JSON.stringify(result)}\n`).join("");
    if (text !== "") await this.#append(task, run, Buffer.from(text));
    return results.map(({ output, ...rest }) =>
      output === undefined ? rest : { ...rest, withheld: { sha256: digestOf(output) } },
    );
  }

  /** Results of a run in the order of their items, each once. Nothing for a task that is not here. */
  async read(task: string, run = 0): Promise<readonly ItemResult[]> {
    const results = new Map<number, ItemResult>();
    const lines = createInterface({ input: createReadStream(this.#file(task, run)), crlfDelay: Infinity });
    try {
      for await (const line of lines) {
        const result = parseLine(line);
        if (result !== undefined) results.set(result.item, result);
      }
    } catch {
      return [];
    }
    return [...results.values()].sort((a, b) => a.item - b.item);
  }

  async #append(task: string, run: number, bytes: Uint8Array): Promise<void> {
    await this.#makeRoom(bytes.length);
    const file = this.#file(task, run);
    await mkdir(path.dirname(file), { recursive: true });
    const handle = await open(file, "a", 0o600);
    try {
      await handle.appendFile(bytes);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    this.#sizes.set(task, (this.#sizes.get(task) ?? 0) + bytes.length);
  }

  async #makeRoom(bytes: number): Promise<void> {
    const { limitBytes, isListed, folder } = this.#options;
    if (this.bytes + bytes <= limitBytes) return;
    const gone = [...this.#sizes.keys()].filter((task) => !isListed(task));
    const aged = await Promise.all(
      gone.map(async (task) => ({ task, at: (await stat(path.join(folder, task))).mtimeMs })),
    );
    for (const { task } of aged.sort((a, b) => a.at - b.at)) {
      if (this.bytes + bytes <= limitBytes) return;
      await rm(path.join(folder, task), { recursive: true, force: true });
      this.#sizes.delete(task);
    }
    if (this.bytes + bytes <= limitBytes) return;
    throw new AutoglmError(
      "OutboxFull",
      `the node's store of SiteOnly results is full (${formatQuantity(limitBytes)}): collect and delete results in ${folder}, or raise AUTOGLM_SITE_LIMIT`,
    );
  }

  /** uids are checked on the wire: no path can be made of one. */
  #file(task: string, run: number): string {
    return path.join(this.#options.folder, task, `${run}.jsonl`);
  }

  async #sizeOf(task: string): Promise<number> {
    const folder = path.join(this.#options.folder, task);
    const sizes = (await readdir(folder)).map(async (name) => (await stat(path.join(folder, name))).size);
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }
}

export const digestOf = (output: ItemResult["output"]) =>
  createHash("sha256").update(JSON.stringify(output)).digest("hex");

/** Undefined for the torn last line of a process that was killed. */
function parseLine(line: string): ItemResult | undefined {
  try {
    return JSON.parse(line) as ItemResult;
  } catch {
    return undefined;
  }
}
