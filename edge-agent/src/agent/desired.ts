import { decodeMessage, desiredDocumentSchema, encodeMessage, type DesiredDocument } from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import type { StateFolder } from "./state-folder.ts";

const FILE = "desired.json";

/** Whether a document replaces another: by generation, then by revision. */
function isNewerDocument(candidate: DesiredDocument, current: DesiredDocument | undefined): boolean {
  if (!current || candidate.generation !== current.generation) {
    return !current || candidate.generation > current.generation;
  }
  return candidate.revision > current.revision;
}

/** The last desired document, also over a restart. An older one, or one for another node, is ignored. */
export class DesiredState {
  readonly #folder: StateFolder;
  readonly #node: string;
  readonly #log: Log;
  #document: DesiredDocument | undefined;
  #saving: Promise<void> | undefined;

  private constructor(folder: StateFolder, node: string, log: Log) {
    this.#folder = folder;
    this.#node = node;
    this.#log = log;
  }

  static async open(folder: StateFolder, node: string, log: Log): Promise<DesiredState> {
    const state = new DesiredState(folder, node, log);
    const bytes = await folder.readBytes(FILE);
    if (bytes) {
      try {
        const document = decodeMessage(desiredDocumentSchema, bytes);
        if (document.node === node) state.#document = document;
      } catch (error) {
        log.warn({ error }, "the stored desired document can't be read; waiting for a new one");
      }
    }
    return state;
  }

  get document(): DesiredDocument | undefined {
    return this.#document;
  }

  /** Takes the document if it is this node's and newer; returns whether it was taken. */
  offer(document: DesiredDocument): boolean {
    if (document.node !== this.#node) {
      this.#log.warn({ node: document.node }, "ignored a desired document for another node");
      return false;
    }
    if (!isNewerDocument(document, this.#document)) return false;
    this.#document = document;
    this.#saving ??= this.#save();
    return true;
  }

  async flush(): Promise<void> {
    await this.#saving;
  }

  /** Writes until what is on the disk is the newest; documents that come meanwhile are written once. */
  async #save(): Promise<void> {
    let saved: DesiredDocument | undefined;
    try {
      while (this.#document && this.#document !== saved) {
        saved = this.#document;
        await this.#folder.writeText(FILE, encodeMessage(desiredDocumentSchema, saved));
      }
    } catch (error) {
      this.#log.warn({ error }, "the desired document can't be stored");
    }
    this.#saving = undefined;
  }
}
