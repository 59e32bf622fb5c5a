import { createHash } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { AutoglmError, decodeMessage, workSpecSchema, type WorkSpec } from "@autoglm/api";
import type { StateFolder } from "./state-folder.ts";

const FOLDER = "specs";

/** Work specifications and small inputs by digest: fetched once, kept on the disk, so that work resumes offline. */
export class SpecCache {
  readonly #folder: StateFolder;
  readonly #fetch: (sha256: string) => Promise<Uint8Array | undefined>;

  private constructor(folder: StateFolder, fetch: (sha256: string) => Promise<Uint8Array | undefined>) {
    this.#folder = folder;
    this.#fetch = fetch;
  }

  static async open(
    folder: StateFolder,
    fetch: (sha256: string) => Promise<Uint8Array | undefined>,
  ): Promise<SpecCache> {
    await mkdir(folder.join(FOLDER), { recursive: true });
    return new SpecCache(folder, fetch);
  }

  /**
   * @throws AutoglmError `NotFound` when the bus doesn't have it (yet), `BusUnavailable`, `InvalidMessage` for bytes
   *   with another digest
   */
  async bytes(sha256: string): Promise<Uint8Array> {
    const cached = await this.#folder.readBytes(`${FOLDER}/${sha256}`);
    if (cached && sha256Of(cached) === sha256) return cached;
    const fetched = await this.#fetch(sha256);
    if (!fetched) {
      throw new AutoglmError("NotFound", "the work specification is not on the bus yet", {
        details: { sha256 },
      });
    }
    if (sha256Of(fetched) !== sha256) {
      throw new AutoglmError("InvalidMessage", "the work specification does not have its digest", {
        details: { sha256 },
        retry: "backoff",
      });
    }
    // Not forced to the disk: it is checked when it is read, and fetched again when it is not there.
    await this.#folder.writeText(`${FOLDER}/${sha256}`, fetched, { isDurable: false });
    return fetched;
  }

  /** @throws as {@link bytes}; AutoglmError `InvalidMessage`, not to be tried again, for one of an unknown version */
  async spec(sha256: string): Promise<WorkSpec> {
    return decodeMessage(workSpecSchema, await this.bytes(sha256));
  }

  /** Deletes everything but these. */
  async keepOnly(digests: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.#folder.join(FOLDER))) {
      if (!digests.has(name)) await rm(this.#folder.join(FOLDER, name), { force: true });
    }
  }
}

function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
