/**
 * The SQLite file of the result store: opened under an exclusive lock, brought to the present schema, and its errors
 * translated. SQLite itself says what a lock is and when the disk is full; nothing here looks at messages.
 */
import { mkdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AutoglmError } from "@autoglm/api";

const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;
const WAL_BYTES_KEPT = 64 * 1024 * 1024;

/** Step n brings a database from schema n to n + 1; a step that was released is never changed. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE tasks (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     uid TEXT NOT NULL UNIQUE,
     namespace TEXT NOT NULL,
     name TEXT NOT NULL,
     revision INTEGER NOT NULL,
     changed_at INTEGER NOT NULL
   );
   CREATE TABLE runs (
     task INTEGER NOT NULL,
     run INTEGER NOT NULL,
     state TEXT NOT NULL,
     PRIMARY KEY (task, run)
   ) WITHOUT ROWID;
   CREATE TABLE results (
     task INTEGER NOT NULL,
     run INTEGER NOT NULL,
     item INTEGER NOT NULL,
     stage INTEGER NOT NULL,
     sequence INTEGER NOT NULL,
     epoch INTEGER NOT NULL,
     shard INTEGER NOT NULL,
     node TEXT NOT NULL,
     accepted_at INTEGER NOT NULL,
     ms REAL NOT NULL,
     body TEXT NOT NULL,
     PRIMARY KEY (task, run, item, stage)
   );
   CREATE UNIQUE INDEX results_by_acceptance ON results (task, run, sequence);
   CREATE TABLE forgotten (uid TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE garbage (task INTEGER NOT NULL, run INTEGER NOT NULL, PRIMARY KEY (task, run)) WITHOUT ROWID;`,
];

export interface DatabaseOptions {
  /** Folder of its own, on a local volume; made when missing. */
  readonly dir: string;
  /** Largest size of the file; absent: the volume is the limit. */
  readonly maxBytes?: number | undefined;
}

/**
 * @throws AutoglmError `Conflict` when another process has the store, `InvalidOption` when a newer version made it
 */
export function openDatabase({ dir, maxBytes }: DatabaseOptions): DatabaseSync {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, "results.db");
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    // Exclusive before the first read: held from then on until the process ends, however it ends.
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    db.exec(`PRAGMA journal_size_limit = ${WAL_BYTES_KEPT}; BEGIN IMMEDIATE; COMMIT`);
    migrate(db, path);
    if (maxBytes !== undefined) {
      db.exec(`PRAGMA max_page_count = ${Math.ceil(maxBytes / numberOf(db, "page_size"))}`);
    }
    return db;
  } catch (cause) {
    db.close();
    if (sqliteCode(cause) !== SQLITE_BUSY) throw translateSqliteError(cause);
    throw new AutoglmError("Conflict", `the result store ${path} is in use by another process`, {
      cause,
      details: { path },
    });
  }
}

function migrate(db: DatabaseSync, path: string): void {
  const version = numberOf(db, "user_version");
  if (version > MIGRATIONS.length) {
    throw new AutoglmError(
      "InvalidOption",
      `the result store ${path} has schema ${version}, this version knows ${MIGRATIONS.length}: run the version that made it, or a newer one`,
      { details: { path, version, known: MIGRATIONS.length } },
    );
  }
  for (const [index, step] of MIGRATIONS.entries()) {
    if (index < version) continue;
    inTransaction(db, () => db.exec(`${step}; PRAGMA user_version = ${index + 1}`));
  }
}

/** Runs `work` as one transaction: all of it is on disk when this returns, or nothing is. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  try {
    db.exec("BEGIN IMMEDIATE");
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (cause) {
    // SQLite has rolled back on its own after some errors, a full disk among them.
    if (db.isTransaction) db.exec("ROLLBACK");
    throw translateSqliteError(cause);
  }
}

/** Bytes that other users of the volume leave. */
export function freeBytes(dir: string): number {
  const { bavail, bsize } = statfsSync(dir);
  return bavail * bsize;
}

/** Size of the database without its write-ahead log, bytes. */
export function databaseBytes(db: DatabaseSync): number {
  return numberOf(db, "page_count") * numberOf(db, "page_size");
}

/** Bytes inside the file that hold nothing any more. */
export function reusableBytes(db: DatabaseSync): number {
  return numberOf(db, "freelist_count") * numberOf(db, "page_size");
}

function translateSqliteError(cause: unknown): unknown {
  switch (sqliteCode(cause)) {
    case undefined:
      return cause;
    case SQLITE_FULL:
      return new AutoglmError("ResultStoreFull", "the volume of the result store is full", { cause });
    default:
      return new AutoglmError("Internal", "the result store failed", { cause });
  }
}

/** Primary result code; the extended ones carry it in their low byte. */
function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number")
    return undefined;
  return error.errcode & 0xff;
}

function numberOf(
  db: DatabaseSync,
  pragma: "freelist_count" | "page_size" | "page_count" | "user_version",
): number {
  return Number(db.prepare(`PRAGMA ${pragma}`).get()?.[pragma] ?? 0);
}
