import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { AutoglmError } from "@autoglm/api";

/** A key is a line; a whole file of something else is not read into a header. */
const MAX_KEY_LENGTH = 8192;
/** As the schema of models has it: anything else in the folder is no key that a variant could name. */
const KEY_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/**
 * Keys of endpoints: one file for each in a folder, as a Secret is mounted. They are read when they are needed, so that a
 * rotated key counts at once; they are in no log, error or metric.
 */
export class EndpointKeys {
  readonly #folder: string | undefined;

  constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /** @throws AutoglmError `EndpointKeyMissing`, with what to do */
  async read(name: string): Promise<string> {
    const folder = this.#folder;
    if (folder === undefined) {
      const message = `the endpoint needs the key ${name}, and this node has no folder of keys: set AUTOGLM_ENDPOINT_KEYS_DIR, and put the key into the file ${name} in it`;
      throw new AutoglmError("EndpointKeyMissing", message);
    }
    const text = await readFile(path.join(folder, path.basename(name)), "utf8").catch(() => "");
    const key = text.trim();
    if (key === "" || key.length > MAX_KEY_LENGTH || /[^\x21-\x7e]/.test(key)) {
      const problem = text === "" ? "is missing or empty" : "holds no key: it must be one line";
      const message = `the endpoint needs the key ${name}, and ${path.join(folder, name)} ${problem}`;
      throw new AutoglmError("EndpointKeyMissing", message);
    }
    return key;
  }

  /** Names of the keys that are there, sorted. */
  async names(): Promise<readonly string[]> {
    if (this.#folder === undefined) return [];
    const entries = await readdir(this.#folder).catch(() => []);
    // A mounted Secret has hidden links beside the keys.
    return entries.filter((name) => KEY_NAME.test(name)).sort();
  }
}
