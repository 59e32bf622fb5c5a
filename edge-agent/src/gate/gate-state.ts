/**
 * What gates know beyond a restart, in the state folder:
 *
 *     gate/learned/<edge model, task type>.json   calibration: what audits taught, for all tasks with that edge model
 *     gate/budget/<scope>.json                    what a run of a task may have escalated
 *     gate/decisions/                             decision-log.ts
 *
 * A budget is leased in blocks: the file says what *may* have been spent, ahead of what was. A process that is killed loses
 * the rest of its block, never counts an escalation out. What was learned is written whenever it has changed, by the writer
 * that is free; a kill loses the last outcomes.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { initialCalibration, type BudgetSpent, type GateOpenRecord } from "@autoglm/core";
import type { Log } from "@autoglm/telemetry";
import { z } from "zod";
import { DecisionLog } from "./decision-log.ts";
import { Learned } from "./learned.ts";

/** Budgets that are kept; a run that was last served so many runs ago is over. */
const KEPT_BUDGETS = 4096;

const three = z.tuple([z.number(), z.number(), z.number()]);
const calibrationSchema = z.object({
  v: z.literal(1),
  weights: three,
  squares: three,
  temperature: z.number().positive(),
  outcomes: z.int().min(0),
  agreed: z.int().min(0),
});
const spentSchema = z.object({
  escalations: z.int().min(0),
  tokens: z.number().min(0),
  seen: z.int().min(0),
});

export interface GateStateOptions {
  /** At how many bytes a log of decisions begins a new part; default 4 MiB. */
  readonly logPartBytes?: number;
}

export class GateState {
  readonly #folder: string;
  readonly #log: Log;
  readonly #options: GateStateOptions;
  /** By key; as many as there are edge models. */
  readonly #learned = new Map<string, Promise<Learned>>();

  private constructor(folder: string, log: Log, options: GateStateOptions) {
    this.#folder = folder;
    this.#log = log;
    this.#options = options;
  }

  /** @param folder of the gates of one agent; made when it is missing */
  static async open(folder: string, log: Log, options: GateStateOptions = {}): Promise<GateState> {
    for (const part of ["learned", "budget", "decisions"]) {
      await mkdir(join(folder, part), { recursive: true, mode: 0o700 });
      await removeUnfinished(join(folder, part));
    }
    await removeOldest(join(folder, "budget"), KEPT_BUDGETS);
    return new GateState(folder, log, options);
  }

  /** The log of decisions of this scope. @param begin what a part of it begins with, as things are when it is called */
  openLog(scope: string, begin: () => GateOpenRecord): Promise<DecisionLog> {
    const { logPartBytes: partBytes } = this.#options;
    return DecisionLog.open({
      folder: join(this.#folder, "decisions"),
      scope,
      begin,
      log: this.#log,
      partBytes,
    });
  }

  /** What was learned about the edge model with this key, one for all; a new one begins with its scores as they are. */
  learned(key: string): Promise<Learned> {
    const known = this.#learned.get(key);
    if (known !== undefined) return known;
    const reading = this.#readLearned(this.#calibrationPath(key));
    this.#learned.set(key, reading);
    reading.catch(() => this.#learned.delete(key));
    return reading;
  }

  /** What may have been spent in this scope; all of it where a damaged file can't tell. */
  async spent(scope: string): Promise<BudgetSpent> {
    const content = await this.#read(this.#budgetPath(scope));
    if (content === undefined) return { escalations: 0, tokens: 0, seen: 0 };
    const known = spentSchema.safeParse(content);
    return known.success ? known.data : { escalations: Infinity, tokens: Infinity, seen: 0 };
  }

  async saveSpent(scope: string, spent: BudgetSpent): Promise<void> {
    await writeWhole(this.#budgetPath(scope), JSON.stringify(spent));
  }

  async #readLearned(path: string): Promise<Learned> {
    const known = calibrationSchema.safeParse(await this.#read(path));
    return new Learned({
      known: known.success ? known.data : initialCalibration(),
      save: (state) => writeWhole(path, JSON.stringify(state)),
      log: this.#log,
    });
  }

  #calibrationPath(key: string): string {
    return join(
      this.#folder,
      "learned",
      `${createHash("sha256").update(key).digest("hex").slice(0, 32)}.json`,
    );
  }

  #budgetPath(scope: string): string {
    return join(this.#folder, "budget", `${scope}.json`);
  }

  /** undefined when there is none, null when it can't be read as JSON. */
  async #read(path: string): Promise<unknown> {
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
    try {
      return JSON.parse(text);
    } catch (error) {
      this.#log.warn({ error, file: path }, "a file of the gate is damaged");
      return null;
    }
  }
}

/** All or nothing, and on the disk when it resolves. */
async function writeWhole(path: string, content: string): Promise<void> {
  const fresh = `${path}.${randomUUID()}.new`;
  const file = await open(fresh, "wx", 0o600);
  try {
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, path);
  } catch (error) {
    // What is half written must not fill a disk that is full. Where it can't be removed, the next start does it.
    await rm(fresh, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** What a process left that was killed while it wrote. At the start nobody writes. */
async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.endsWith(".new")) await rm(join(folder, name), { force: true });
  }
}

async function removeOldest(folder: string, kept: number): Promise<void> {
  const names = await readdir(folder);
  if (names.length <= kept) return;
  const dated = await Promise.all(
    names.map(async (name) => ({ name, writtenAt: (await stat(join(folder, name))).mtimeMs })),
  );
  for (const { name } of dated.sort((a, b) => a.writtenAt - b.writtenAt).slice(0, names.length - kept)) {
    await rm(join(folder, name), { force: true });
  }
}
