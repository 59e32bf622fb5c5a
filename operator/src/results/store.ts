/**
 * Keeps results: one SQLite file, one writer, one transaction per batch of chunks.
 *
 * What decide.ts says about a chunk is stored together with the state that it decided from, so that after a crash
 * either both are there or neither is, and a chunk that comes again is judged against exactly what was kept. The
 * states of the tasks in use are also held in memory, and replaced there only after the commit.
 *
 * A deleted task leaves a tombstone: chunks that are still on their way must not bring it back. Its rows are
 * deleted in small steps (`sweep`), so that nothing waits for a task of a million items to go.
 */
import type { DatabaseSync } from "node:sqlite";
import { AutoglmError, type ItemResult, type Ledger, type ResultChunk } from "@autoglm/api";
import { databaseBytes, freeBytes, inTransaction, openDatabase, reusableBytes } from "./database.ts";
import { decideChunk, emptyRun, isTooScattered, ledgerOf, type RunState, runIsComplete } from "./decide.ts";
import { ResultReader } from "./reader.ts";
import { type StoreStatements, prepareStatements } from "./statements.ts";

/** Tombstones are kept for longer than any outbox stays away. */
const TOMBSTONE_MS = 90 * 24 * 3600 * 1000;
const CACHED_TASKS = 1000;

export interface TaskIdentity {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

export interface ResultStoreOptions {
  /** Folder of its own, on a local volume. */
  readonly dir: string;
  /** Runs of a continuous task that are kept; default 10. */
  readonly keepRuns?: number | undefined;
  /** Intake stops while the volume has less than this; default 64 MiB. */
  readonly reserveBytes?: number | undefined;
  /** Largest size of the store's file; default: as large as the volume lets it. */
  readonly maxBytes?: number | undefined;
  /** Bytes that the volume of a folder has left; default: what the system says. */
  readonly freeBytes?: ((dir: string) => number) | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
}

/** A chunk whose signatures were checked, and the task that its grant names. */
export interface VerifiedChunk {
  readonly task: TaskIdentity;
  readonly chunk: ResultChunk;
}

export interface CommitOutcome {
  /** Results stored. */
  readonly stored: number;
  /** Results that were there already, of a task or run that is gone, or with too many gaps between them. */
  readonly dropped: number;
  readonly tasks: readonly TaskProgress[];
}

export interface TaskProgress {
  readonly uid: string;
  /** The newest run got its first result with this commit, or its last one. */
  readonly urgent: boolean;
}

interface TaskState {
  /** Key of the task's rows. */
  readonly id: number;
  readonly identity: TaskIdentity;
  readonly revision: number;
  /** The runs that are kept, newest first. */
  readonly runs: readonly RunState[];
}

export class ResultStore {
  readonly #db: DatabaseSync;
  readonly #sql: StoreStatements;
  readonly #options: {
    readonly dir: string;
    readonly keepRuns: number;
    readonly reserveBytes: number;
    readonly freeBytes: (dir: string) => number;
    readonly now: () => number;
  };
  /** Least recently used first. */
  readonly #cache = new Map<string, TaskState>();
  readonly reader: ResultReader;

  /** @throws AutoglmError `Conflict` when another process has the store, `InvalidOption` when a newer version made it */
  constructor(options: ResultStoreOptions) {
    this.#options = {
      dir: options.dir,
      keepRuns: options.keepRuns ?? 10,
      reserveBytes: options.reserveBytes ?? 64 * 1024 * 1024,
      freeBytes: options.freeBytes ?? freeBytes,
      now: options.now ?? Date.now,
    };
    this.#db = openDatabase(options);
    this.#sql = prepareStatements(this.#db);
    this.reader = new ResultReader(this.#db);
    inTransaction(this.#db, () => this.#sql.deleteTombstones.run(this.#options.now() - TOMBSTONE_MS));
  }

  /**
   * Decides on the chunks in order and stores the outcome; on return it is on disk.
   * @throws AutoglmError `ResultStoreFull` with nothing stored
   */
  commit(batch: readonly VerifiedChunk[]): CommitOutcome {
    this.#refuseWhenFull();
    const now = this.#options.now();
    const changed = new Map<string, TaskState>();
    const urgent = new Set<string>();
    let stored = 0;
    let dropped = 0;
    inTransaction(this.#db, () => {
      for (const { task, chunk } of batch) {
        const before = changed.get(task.uid) ?? this.#taskState(task.uid) ?? this.#createTask(task, now);
        const decision = before && this.#decide(before, chunk, now);
        if (decision === undefined) {
          dropped += chunk.items.length;
          continue;
        }
        stored += decision.stored;
        dropped += chunk.items.length - decision.stored;
        changed.set(task.uid, decision.task);
        if (decision.urgent) urgent.add(task.uid);
      }
      for (const task of changed.values()) {
        this.#sql.updateTask.run(task.revision, now, task.id);
      }
    });
    for (const [uid, task] of changed) this.#remember(uid, task);
    return {
      stored,
      dropped,
      tasks: [...changed.keys()].map((uid) => ({ uid, urgent: urgent.has(uid) })),
    };
  }

  findTask(uid: string): TaskIdentity | undefined {
    return this.#taskState(uid)?.identity;
  }

  /** Number of the newest run; undefined for a task without results. */
  newestRun(uid: string): number | undefined {
    return this.#taskState(uid)?.runs[0]?.run;
  }

  /** The ledger of a run, by default of the newest; undefined when nothing is kept of it. */
  ledger(uid: string, options: { readonly run?: number; readonly storeFull: boolean }): Ledger | undefined {
    const task = this.#taskState(uid);
    const state =
      options.run === undefined ? task?.runs[0] : task?.runs.find(({ run }) => run === options.run);
    if (task === undefined || state === undefined) return undefined;
    return ledgerOf({
      task: uid,
      state,
      runs: task.runs,
      revision: task.revision,
      storeFull: options.storeFull,
    });
  }

  /** Key of the task's rows, for the reader. */
  taskKey(uid: string): number | undefined {
    return this.#taskState(uid)?.id;
  }

  /** Tasks that are not forgotten. With `changedSince` (ms): of the complete ones only those that changed later. */
  taskUids(options: { readonly changedSince?: number } = {}): readonly string[] {
    const { changedSince = 0 } = options;
    return this.#sql.listTasks
      .all()
      .map((row) => ({ uid: String(row["uid"]), changedAt: Number(row["changed_at"]) }))
      .filter(({ uid, changedAt }) => {
        if (changedAt >= changedSince) return true;
        const newest = this.#taskState(uid)?.runs[0];
        return newest !== undefined && !runIsComplete(newest);
      })
      .map(({ uid }) => uid);
  }

  /** Forgets a task for good; `sweep` gives its space back. Without effect the second time. */
  forget(uid: string): void {
    const task = this.#taskState(uid);
    inTransaction(this.#db, () => {
      this.#sql.insertTombstone.run(uid, this.#options.now());
      if (task === undefined) return;
      for (const { run } of task.runs) this.#dropRun(task.id, run);
      this.#sql.deleteTask.run(task.id);
    });
    this.#cache.delete(uid);
  }

  /** Deletes up to `limit` rows that nobody can see any more. Returns whether there may be more. */
  sweep(limit = 2000): boolean {
    const garbage = this.#sql.findGarbage.get();
    if (garbage === undefined) return false;
    const task = Number(garbage["task"]);
    const run = Number(garbage["run"]);
    return inTransaction(this.#db, () => {
      const { changes } = this.#sql.deleteResults.run(task, run, limit);
      if (Number(changes) < limit) this.#sql.deleteGarbage.run(task, run);
      return true;
    });
  }

  /**
   * True when a commit would be refused for want of space. What deleted tasks left free inside the file counts: SQLite
   * keeps it and fills it first.
   */
  isShortOfSpace(): boolean {
    const { dir, reserveBytes, freeBytes } = this.#options;
    return freeBytes(dir) + reusableBytes(this.#db) < reserveBytes;
  }

  /** Size of the store's file, bytes. */
  sizeBytes(): number {
    return databaseBytes(this.#db);
  }

  close(): void {
    this.#db.close();
  }

  #refuseWhenFull(): void {
    if (!this.isShortOfSpace()) return;
    const { dir, reserveBytes } = this.#options;
    throw new AutoglmError(
      "ResultStoreFull",
      `the volume of ${dir} has less than ${reserveBytes} bytes left`,
      {
        details: { dir, reserveBytes },
      },
    );
  }

  /** undefined: the chunk is of a run that is no longer kept, or would make the state of its run too large. */
  #decide(
    task: TaskState,
    chunk: ResultChunk,
    now: number,
  ): { readonly task: TaskState; readonly stored: number; readonly urgent: boolean } | undefined {
    const newest = task.runs[0]?.run ?? chunk.key.run;
    if (chunk.key.run <= newest - this.#options.keepRuns) return undefined;
    const before = task.runs.find(({ run }) => run === chunk.key.run) ?? emptyRun(chunk.key.run);
    const { rows, state } = decideChunk({ state: before, chunk, now: new Date(now).toISOString() });
    if (isTooScattered(state)) return undefined;
    for (const [index, row] of rows.entries()) {
      this.#insertResult({ task, chunk, row, sequence: before.rows + index, now });
    }
    this.#sql.upsertRun.run(task.id, state.run, JSON.stringify(state));
    const runs = [state, ...task.runs.filter(({ run }) => run !== state.run)].sort((a, b) => b.run - a.run);
    const kept = runs.filter(({ run }) => run > Math.max(newest, state.run) - this.#options.keepRuns);
    for (const { run } of runs.slice(kept.length)) this.#dropRun(task.id, run);
    const isFirst = before.firstAcceptedAt === undefined && state.firstAcceptedAt !== undefined;
    const isCompleted = !runIsComplete(before) && runIsComplete(state);
    return {
      // A revision is never smaller than the clock, so that it also rises after the store was lost.
      task: { ...task, runs: kept, revision: Math.max(task.revision + 1, now) },
      stored: rows.length,
      urgent: isFirst || isCompleted,
    };
  }

  #insertResult(insert: {
    readonly task: TaskState;
    readonly chunk: ResultChunk;
    readonly row: ItemResult;
    readonly sequence: number;
    readonly now: number;
  }): void {
    const { task, chunk, row, sequence, now } = insert;
    const { run, epoch, shard } = chunk.key;
    const { item, stage, ms, ...body } = row;
    const isFinal = stage === "final" ? 1 : 0;
    const text = JSON.stringify(body);
    const where = [task.id, run, item, isFinal, sequence] as const;
    this.#sql.insertResult.run(...where, epoch, shard, chunk.node, now, ms, text);
  }

  #dropRun(task: number, run: number): void {
    this.#sql.deleteRun.run(task, run);
    this.#sql.insertGarbage.run(task, run);
  }

  /** undefined: the task was forgotten. */
  #createTask(identity: TaskIdentity, now: number): TaskState | undefined {
    if (this.#sql.findTombstone.get(identity.uid) !== undefined) return undefined;
    const { uid, namespace, name } = identity;
    const { lastInsertRowid } = this.#sql.insertTask.run(uid, namespace, name, now, now);
    return { id: Number(lastInsertRowid), identity: { uid, namespace, name }, revision: now, runs: [] };
  }

  #taskState(uid: string): TaskState | undefined {
    const cached = this.#cache.get(uid);
    const task = cached ?? this.#readTask(uid);
    if (task !== undefined) this.#remember(uid, task);
    return task;
  }

  #readTask(uid: string): TaskState | undefined {
    const row = this.#sql.findTask.get(uid);
    if (row === undefined) return undefined;
    const id = Number(row["id"]);
    return {
      id,
      identity: { uid, namespace: String(row["namespace"]), name: String(row["name"]) },
      revision: Number(row["revision"]),
      // Written by this class alone, in the same transaction as what it speaks of.
      runs: this.#sql.findRuns.all(id).map(({ state }) => JSON.parse(String(state)) as RunState),
    };
  }

  #remember(uid: string, task: TaskState): void {
    this.#cache.delete(uid);
    this.#cache.set(uid, task);
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= CACHED_TASKS) break;
      this.#cache.delete(oldest);
    }
  }
}
