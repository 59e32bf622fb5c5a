/**
 * Everything that an agent is lies in one folder: its key, its enrolment, its unsent results, its models.
 *
 *   lock.db            held by the one process that works here
 *   node.key           seed of the node's key, mode 0600; born here, never leaves
 *   enrolment.json     the operator's last reply and when it came, mode 0600
 *   state-id           made with the folder: another id means that the outbox is gone
 *   desired.json       the last desired document
 *   specs/<digest>     work specifications and small inputs
 *   outbox/  models/
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AutoglmError } from "@autoglm/api";
import { NodeKey } from "@autoglm/bus";

export class StateFolder {
  readonly path: string;
  readonly #lock: DatabaseSync;

  private constructor(path: string, lock: DatabaseSync) {
    this.path = path;
    this.#lock = lock;
  }

  /** @throws AutoglmError `InvalidOption` when it can't be written, `Conflict` when another process works in it */
  static async open(path: string): Promise<StateFolder> {
    try {
      await mkdir(path, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new AutoglmError(
        "InvalidOption",
        `AUTOGLM_STATE_DIR: ${path} can't be made; name a folder that this user may write`,
        { cause },
      );
    }
    // SQLite's lock is a lock of the file system: it ends with the process, however that ends, and holds between
    // containers that share the volume. Node has no flock of its own.
    const lock = new DatabaseSync(join(path, "lock.db"));
    try {
      lock.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE");
    } catch (cause) {
      lock.close();
      throw new AutoglmError(
        "Conflict",
        `another agent works in ${path}; give each its own AUTOGLM_STATE_DIR`,
        {
          cause,
          retry: "never",
        },
      );
    }
    return new StateFolder(path, lock);
  }

  join(...names: string[]): string {
    return join(this.path, ...names);
  }

  async nodeKey(): Promise<NodeKey> {
    const seed = await this.readText("node.key");
    if (seed !== undefined) return NodeKey.fromSeed(seed.trim());
    const key = NodeKey.generate();
    await this.writeText("node.key", `${key.seed}\n`);
    return key;
  }

  async stateId(): Promise<string> {
    const known = await this.readText("state-id");
    if (known !== undefined) return known.trim();
    const id = randomUUID();
    await this.writeText("state-id", `${id}\n`);
    return id;
  }

  /** undefined when the file doesn't exist. */
  async readText(name: string): Promise<string | undefined> {
    return (await this.readBytes(name))?.toString("utf8");
  }

  async readBytes(name: string): Promise<Buffer | undefined> {
    try {
      return await readFile(this.join(name));
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** All or nothing, readable by this user alone; on the disk when it resolves, unless that is not asked for. */
  async writeText(name: string, content: string | Uint8Array, { isDurable = true } = {}): Promise<void> {
    const target = this.join(name);
    const fresh = `${target}.${randomUUID()}.new`;
    const file = await open(fresh, "wx", 0o600);
    try {
      await file.writeFile(content);
      if (isDurable) await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, target);
  }

  close(): void {
    this.#lock.close();
  }
}
