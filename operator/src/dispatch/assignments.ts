/**
 * The table of assignments: what each node should have, from which its desired document is made.
 *
 *     activate ──▶ active ──complete──▶ retiring ──the node has a document with the last acceptedThrough──▶ gone
 *                    │ └──bad model──▶ parked ──activate at a higher epoch──▶ active
 *                    └──cancelled, superseded, deleted──▶ gone, and the document changes at once
 *
 * `retiring` exists because leaving the document means "stop", not "accepted": the node may delete results only up to
 * an acceptedThrough that it was told. `parked` keeps a failed assignment listed, so that its specification's digest, on
 * the bus, still tells after a restart which model it failed with.
 *
 * A task has at most one active or parked entry; retiring ones of earlier runs may stand beside it. After a start the
 * table is seeded from the documents on the bus, so that digests and grants stay what the nodes have.
 */
import {
  assignmentKeyText,
  type Assignment,
  type AssignmentKey,
  type DesiredDocument,
  type Heartbeat,
  type Ledger,
} from "@autoglm/api";
import type { Blob, Work } from "./work-spec.ts";

export interface SpecBus {
  writeSpec(node: string, bytes: Uint8Array): Promise<string>;
  deleteSpecs(node: string, digests: readonly string[]): Promise<void>;
}

export interface AssignmentEntry extends Assignment {
  readonly nodeId: string;
  /** The node's public key in the grant; undefined for a seeded entry whose grant can't be read. */
  readonly nodeKey: string | undefined;
  readonly state: "active" | "retiring" | "parked";
  /** The state folder that it was given to; undefined until the node was heard. */
  readonly stateId: string | undefined;
  /** Revision of the first document that carried it as it is now. */
  readonly writtenRevision?: number | undefined;
}

export interface AssignmentDraft {
  readonly key: AssignmentKey;
  readonly nodeId: string;
  readonly nodeKey: string;
  readonly spec: string;
  readonly grant: string;
  readonly priority: number;
  readonly reservedBytes: number;
  readonly acceptedThrough: number;
  readonly acceptedItems: Assignment["acceptedItems"];
  readonly stateId: string | undefined;
}

export interface AssignmentTableOptions {
  readonly bus: SpecBus;
  /** A node's document is to be written again. */
  readonly onChange: (nodeId: string, isUrgent: boolean) => void;
  /** Reads the node's key out of a grant; undefined for one that is not ours. */
  readonly nodeKeyOfGrant: (grant: string) => string | undefined;
}

interface SharedBlob {
  /** uids of the tasks that were given it. */
  readonly tasks: Set<string>;
  /** False once the bus may have been wiped. */
  isOnBus: boolean;
}

export class AssignmentTable {
  readonly #options: AssignmentTableOptions;
  /** By assignment key. */
  readonly #entries = new Map<string, AssignmentEntry>();
  /** Assignment keys by task and by node: heartbeats and passes come often, and a fleet is large. */
  readonly #byTask = new Map<string, Set<string>>();
  readonly #byNode = new Map<string, Set<string>>();
  /** Blobs by node and digest. Tasks with the same content share one: it goes with the last of them. */
  readonly #blobs = new Map<string, Map<string, SharedBlob>>();
  /** Writes and deletions of a node's blobs, one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** Highest epoch given out per task and run. */
  readonly #epochs = new Map<string, { readonly run: number; readonly epoch: number }>();

  constructor(options: AssignmentTableOptions) {
    this.#options = options;
  }

  seed(document: DesiredDocument): void {
    for (const assignment of document.assignments) {
      const nodeKey = this.#options.nodeKeyOfGrant(assignment.grant);
      const entry = {
        ...assignment,
        nodeId: document.node,
        nodeKey,
        state: "retiring",
        stateId: undefined,
      } as const;
      this.#store(entry);
      this.#noteEpoch(assignment);
    }
  }

  /** Puts specification and input on the bus for this node, parts first. */
  async prepare(nodeId: string, work: Work, task: string): Promise<void> {
    await this.#inTurn(nodeId, async () => {
      for (const blob of [...work.parts, work.spec]) await this.#putBlob(nodeId, blob, task);
    });
  }

  isPrepared(nodeId: string, specDigest: string): boolean {
    return this.#blobs.get(nodeId)?.get(specDigest)?.isOnBus === true;
  }

  /** Gives the assignment to its node, after its placement is in the task's status. Earlier epochs of the run go. */
  activate(draft: AssignmentDraft): void {
    const { key, ...rest } = draft;
    const text = assignmentKeyText(key);
    for (const entry of this.entriesOf(key.task)) {
      if (assignmentKeyText(entry) !== text && (entry.run === key.run || entry.state !== "retiring")) {
        this.#remove(entry);
      }
    }
    const existing = this.#entries.get(text);
    if (existing?.state === "active" && existing.priority === draft.priority && existing.spec === draft.spec)
      return;
    this.#store({ ...key, ...rest, state: "active" });
    this.#noteEpoch(key);
    this.#options.onChange(draft.nodeId, true);
  }

  /** The run is over: the node is to hear how far its results were accepted, and then nothing more of it. */
  retire(key: AssignmentKey): void {
    const entry = this.#entries.get(assignmentKeyText(key));
    if (entry === undefined || entry.state === "retiring") return;
    this.#update(entry, { state: "retiring", writtenRevision: undefined }, false);
  }

  park(key: AssignmentKey): void {
    const entry = this.#entries.get(assignmentKeyText(key));
    if (entry !== undefined && entry.state !== "parked") this.#update(entry, { state: "parked" }, false);
  }

  /** Takes a run of the task out of the documents: its node stops. */
  withdraw(task: string, run: number): void {
    for (const entry of this.entriesOf(task)) if (entry.run === run) this.#remove(entry);
  }

  /** Takes everything of the task out of the documents, and its specifications off the bus, from these nodes and those that have it still. */
  async forget(task: string, nodeIds: readonly string[], digests: readonly string[]): Promise<void> {
    const entries = this.entriesOf(task);
    for (const entry of entries) this.#remove(entry);
    this.#epochs.delete(task);
    const nodes = new Set([...nodeIds, ...entries.map(({ nodeId }) => nodeId)]);
    const known = new Set([...digests, ...entries.map(({ spec }) => spec)]);
    for (const nodeId of nodes) {
      await this.#inTurn(nodeId, async () => {
        const blobs = this.#blobs.get(nodeId);
        const inUse = new Set(this.entriesOn(nodeId).map(({ spec }) => spec));
        const unused = [...known].filter((digest) => {
          const tasks = blobs?.get(digest)?.tasks;
          tasks?.delete(task);
          return (tasks?.size ?? 0) === 0 && !inUse.has(digest);
        });
        for (const digest of unused) blobs?.delete(digest);
        await this.#options.bus.deleteSpecs(nodeId, unused);
      });
    }
  }

  /** Takes out what belongs to no task that exists. */
  keepTasks(tasks: ReadonlySet<string>): void {
    for (const entry of this.#entries.values()) if (!tasks.has(entry.task)) this.#remove(entry);
  }

  /** Blobs may be gone from the bus: every specification is prepared again when its task is looked at. */
  forgetBus(): void {
    for (const blobs of this.#blobs.values()) for (const blob of blobs.values()) blob.isOnBus = false;
  }

  acceptLedger(ledger: Ledger): void {
    for (const { acceptedThrough, ...key } of ledger.assignments) {
      const entry = this.#entries.get(assignmentKeyText(key));
      if (entry === undefined || acceptedThrough <= entry.acceptedThrough) continue;
      this.#update(entry, { acceptedThrough, writtenRevision: undefined }, false);
    }
  }

  documentWritten(document: DesiredDocument): void {
    for (const assignment of document.assignments) {
      const entry = this.#entries.get(assignmentKeyText(assignment));
      const isSame = entry !== undefined && entry.acceptedThrough === assignment.acceptedThrough;
      if (!isSame || entry.nodeId !== document.node || entry.writtenRevision !== undefined) continue;
      this.#store({ ...entry, writtenRevision: document.revision });
    }
  }

  /** Learns whose state folder the work lies in, and lets go of retired work that the node knows to be accepted. */
  acceptHeartbeat(heartbeat: Heartbeat): void {
    for (const entry of this.entriesOn(heartbeat.node)) {
      const isTold =
        entry.state === "retiring" &&
        entry.writtenRevision !== undefined &&
        heartbeat.document.revision >= entry.writtenRevision;
      if (isTold) {
        this.#drop(entry);
        this.#options.onChange(entry.nodeId, false);
      } else if (entry.stateId === undefined) {
        this.#store({ ...entry, stateId: heartbeat.stateId });
      }
    }
  }

  get(key: AssignmentKey): AssignmentEntry | undefined {
    return this.#entries.get(assignmentKeyText(key));
  }

  entriesOf(task: string): readonly AssignmentEntry[] {
    return this.#named(this.#byTask.get(task));
  }

  entriesOn(nodeId: string): readonly AssignmentEntry[] {
    return this.#named(this.#byNode.get(nodeId));
  }

  /** Live work first, then by priority: what a document has no room for is what matters least. */
  assignmentsOf(nodeId: string): readonly Assignment[] {
    return this.entriesOn(nodeId)
      .toSorted(
        (a, b) => Number(b.state === "active") - Number(a.state === "active") || b.priority - a.priority,
      )
      .map(
        ({ nodeId: _n, nodeKey: _k, state: _s, stateId: _i, writtenRevision: _r, ...assignment }) =>
          assignment,
      );
  }

  highestEpoch(task: string, run: number): number {
    const highest = this.#epochs.get(task);
    return highest?.run === run ? highest.epoch : 0;
  }

  #noteEpoch({ task, run, epoch }: AssignmentKey): void {
    const highest = this.#epochs.get(task);
    const isHigher =
      highest === undefined || run > highest.run || (run === highest.run && epoch > highest.epoch);
    if (isHigher) this.#epochs.set(task, { run, epoch });
  }

  async #putBlob(nodeId: string, { digest, bytes }: Blob, task: string): Promise<void> {
    const blobs = this.#blobs.get(nodeId) ?? new Map<string, SharedBlob>();
    this.#blobs.set(nodeId, blobs);
    const blob = blobs.get(digest) ?? { tasks: new Set<string>(), isOnBus: false };
    blobs.set(digest, blob);
    blob.tasks.add(task);
    if (blob.isOnBus) return;
    await this.#options.bus.writeSpec(nodeId, bytes);
    blob.isOnBus = true;
  }

  #inTurn(nodeId: string, run: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(nodeId) ?? Promise.resolve()).then(run);
    this.#turns.set(
      nodeId,
      turn.catch(() => undefined),
    );
    return turn;
  }

  #update(entry: AssignmentEntry, change: Partial<AssignmentEntry>, isUrgent: boolean): void {
    this.#store({ ...entry, ...change });
    this.#options.onChange(entry.nodeId, isUrgent);
  }

  #remove(entry: AssignmentEntry): void {
    this.#drop(entry);
    this.#options.onChange(entry.nodeId, true);
  }

  #named(keys: ReadonlySet<string> = new Set()): readonly AssignmentEntry[] {
    return [...keys].flatMap((key) => this.#entries.get(key) ?? []);
  }

  /** A key never changes its task or its node: an epoch is given to one node. */
  #store(entry: AssignmentEntry): void {
    const text = assignmentKeyText(entry);
    this.#entries.set(text, entry);
    for (const [index, name] of [
      [this.#byTask, entry.task],
      [this.#byNode, entry.nodeId],
    ] as const) {
      index.set(name, (index.get(name) ?? new Set()).add(text));
    }
  }

  #drop(entry: AssignmentEntry): void {
    const text = assignmentKeyText(entry);
    this.#entries.delete(text);
    for (const [index, name] of [
      [this.#byTask, entry.task],
      [this.#byNode, entry.nodeId],
    ] as const) {
      const keys = index.get(name);
      keys?.delete(text);
      if (keys?.size === 0) index.delete(name);
    }
  }
}
