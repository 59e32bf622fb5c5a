import type { DatabaseSync, StatementSync } from "node:sqlite";

/** Every statement that writes, and those that the writer reads with, prepared once. */
const STATEMENTS = {
  findTask: "SELECT id, namespace, name, revision FROM tasks WHERE uid = ?",
  listTasks: "SELECT uid, changed_at FROM tasks ORDER BY id",
  insertTask: "INSERT INTO tasks (uid, namespace, name, revision, changed_at) VALUES (?, ?, ?, ?, ?)",
  updateTask: "UPDATE tasks SET revision = ?, changed_at = ? WHERE id = ?",
  deleteTask: "DELETE FROM tasks WHERE id = ?",
  findRuns: "SELECT state FROM runs WHERE task = ? ORDER BY run DESC",
  upsertRun:
    "INSERT INTO runs (task, run, state) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state",
  deleteRun: "DELETE FROM runs WHERE task = ? AND run = ?",
  // No "OR IGNORE": what was decided to be new is new, and anything else is a bug that must not pass quietly.
  insertResult: "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  deleteResults: `DELETE FROM results WHERE (task, run, item, stage) IN
    (SELECT task, run, item, stage FROM results WHERE task = ? AND run = ? LIMIT ?)`,
  findTombstone: "SELECT 1 FROM forgotten WHERE uid = ?",
  insertTombstone: "INSERT OR IGNORE INTO forgotten (uid, at) VALUES (?, ?)",
  deleteTombstones: "DELETE FROM forgotten WHERE at < ?",
  findGarbage: "SELECT task, run FROM garbage LIMIT 1",
  insertGarbage: "INSERT OR IGNORE INTO garbage (task, run) VALUES (?, ?)",
  deleteGarbage: "DELETE FROM garbage WHERE task = ? AND run = ?",
} as const;

export type StoreStatements = Readonly<Record<keyof typeof STATEMENTS, StatementSync>>;

export function prepareStatements(db: DatabaseSync): StoreStatements {
  const entries = Object.entries(STATEMENTS).map(([name, sql]) => [name, db.prepare(sql)]);
  // fromEntries forgets the names that entries had.
  return Object.fromEntries(entries) as StoreStatements;
}
