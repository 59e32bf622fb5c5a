/**
 * One assignment from its specification to its last chunk.
 *
 *   Assigned ──spec──► Downloading ──model on disk──► Loading ──warm──► Running ──all items sealed──► Done
 *       └──────────────────┴──── error ────┴──────────────────┴──► Failed, or another try later
 *
 * Every try begins at the top and finds what is already there: files on the disk, a loaded model, items in the
 * outbox. Numbering is deterministic, so the items that have a result are skipped by number and nothing is computed
 * twice, whatever ended the try before.
 */
import {
  AutoglmError,
  assignmentKeyText,
  toAutoglmError,
  type Assignment,
  type AssignmentReport,
  type ItemResult,
  type WorkSpec,
} from "@autoglm/api";
import { inputTotal, producedItems } from "../outbox/contents.ts";
import { ItemSet } from "../outbox/item-set.ts";
import type { Outbox } from "../outbox/outbox.ts";
import type { ParsedItem } from "../parse/index.ts";
import type { SiteStore } from "../site/site-store.ts";
import { assertPromptIsUsable } from "../prompted/check.ts";
import { decideRetry } from "./backoff.ts";
import { ChunkSealer } from "./chunk-sealer.ts";
import type { WorkView } from "./plan.ts";
import type { InferenceEngine } from "./ports.ts";
import type { SpecCache } from "./spec-cache.ts";
import { keepSources, readItems, type RemoteInputs } from "./work-input.ts";
import { findModel, withEngine, withStandIn, type WorkModelParts } from "./work-models.ts";

export interface WorkDependencies extends WorkModelParts {
  readonly node: string;
  readonly dataRoot: string;
  readonly remote: RemoteInputs;
  readonly sealIntervalMs: number;
  readonly outbox: Outbox;
  readonly site: SiteStore;
  readonly specs: SpecCache;
  readonly now: () => number;
  readonly random: () => number;
  /** A chunk with that many results is in the outbox. */
  readonly onSealed: (results: number) => void;
  /** The specification is read: its files are wanted. */
  readonly onSpec: () => void;
  /** Phase or error changed. */
  readonly onChange: () => void;
  /** The try ended: done, failed or waiting for another one. */
  readonly onEnd: () => void;
}

export class AssignmentWork {
  readonly #dependencies: WorkDependencies;
  readonly #stop = new AbortController();
  #assignment: Assignment;
  #phase: AssignmentReport["phase"] = "Assigned";
  #state: WorkView["state"] = "Running";
  #error: AutoglmError | undefined;
  #failures = 0;
  #retryAtMs = 0;
  #produced: ItemSet | undefined;
  #total: number | undefined;
  #modelLoadMs: number | undefined;
  #inferredItems = 0;
  #inferredMs = 0;
  #keepsUnsealed = false;
  #try: Promise<void> = Promise.resolve();
  /** Once it was read. */
  spec: WorkSpec | undefined;

  constructor(dependencies: WorkDependencies, assignment: Assignment) {
    this.#dependencies = dependencies;
    this.#assignment = assignment;
  }

  get assignment(): Assignment {
    return this.#assignment;
  }

  /** The document was rewritten: another priority, grant or reservation. */
  update(assignment: Assignment): void {
    this.#assignment = assignment;
  }

  view(): WorkView {
    const { task, run, shard, epoch, spec, reservedBytes } = this.#assignment;
    return {
      key: { task, run, shard, epoch },
      spec,
      reservedBytes,
      state: this.#state,
      ...(this.#state === "Waiting" && { retryAtMs: this.#retryAtMs }),
    };
  }

  report(): AssignmentReport {
    const { task, run, shard, epoch } = this.#assignment;
    const oldest = this.#dependencies.outbox.find(this.#assignment)?.chunks.values().next().value;
    return {
      task,
      run,
      shard,
      epoch,
      phase: this.#phase,
      produced: this.#produced?.size ?? 0,
      ...(this.#total !== undefined && { total: this.#total }),
      ...(oldest && { oldestPendingAt: oldest.producedAt }),
      ...(this.#modelLoadMs !== undefined && { modelLoadMs: this.#modelLoadMs }),
      ...(this.#inferredItems > 0 && { itemMs: this.#inferredMs / this.#inferredItems }),
      ...(this.#error && { error: { code: this.#error.code, message: this.#error.message.slice(0, 1024) } }),
    };
  }

  /** Begins a try, after an earlier one for the same assignment has ended; it ends by itself. */
  start(after: Promise<void> = Promise.resolve()): void {
    this.#state = "Running";
    this.#try = after.then(() => this.#run());
  }

  /** The wait for the next try is over: what it waited for may be there. */
  retryNow(): void {
    this.#retryAtMs = 0;
  }

  /**
   * Ends the try.
   * @param keepsUnsealed results that are computed are sealed before it ends
   */
  async stop({ keepsUnsealed }: { readonly keepsUnsealed: boolean }): Promise<void> {
    this.#keepsUnsealed = keepsUnsealed;
    this.#stop.abort();
    await this.#try;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    try {
      await this.#attempt(signal);
      this.#failures = 0;
      this.#error = undefined;
      this.#state = "Done";
      this.#enter("Done");
    } catch (cause) {
      if (signal.aborted) return;
      this.#noteFailure(toAutoglmError(cause));
    }
    this.#dependencies.onEnd();
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { outbox, specs, onSpec } = this.#dependencies;
    this.#enter("Assigned");
    const assignment = this.#assignment;
    signal.throwIfAborted();
    const spec = await specs.spec(assignment.spec);
    signal.throwIfAborted();
    this.spec = spec;
    onSpec();

    const contents = outbox.open(assignment, assignment.grant);
    outbox.accept(assignment, assignment.acceptedThrough);
    const produced = producedItems(contents);
    produced.addAll(assignment.acceptedItems);
    this.#produced = produced;
    this.#total = inputTotal(contents);
    const toFill = outbox.numbersToFill(assignment);
    if (toFill.length === 0 && this.#total !== undefined && produced.coversAll(this.#total)) return;

    await withEngine(this.#dependencies, spec, assignment.run, (engine) =>
      this.#answer(spec, engine, { produced, toFill, signal }),
    );
  }

  async #answer(
    spec: WorkSpec,
    engine: InferenceEngine,
    {
      produced,
      toFill,
      signal,
    }: { readonly produced: ItemSet; readonly toFill: readonly number[]; readonly signal: AbortSignal },
  ): Promise<void> {
    const { specs, dataRoot, remote } = this.#dependencies;
    for (const prompt of spec.prompts ?? []) assertPromptIsUsable(prompt);
    const model = await findModel(this.#dependencies, spec.model, signal, () => this.#enter("Downloading"));
    this.#enter("Loading");
    this.#modelLoadMs = (await engine.load(model, signal)).loadMs;
    this.#error = undefined;
    this.#enter("Running");
    const sealer = this.#newSealer(spec, signal);
    try {
      await sealer.fillNumbers(toFill);
      const input = readItems(spec, { dataRoot, remote, signal, part: (sha256) => specs.bytes(sha256) });
      const counted = withoutItems(input, produced);
      const kept = keepSources(counted.items);
      const results = engine.infer({
        model,
        type: spec.type,
        items: kept.items,
        parameters: spec.parameters,
        prompts: spec.prompts,
        signal,
      });
      const received = new ItemSet(produced.toRanges());
      for await (const result of results) {
        signal.throwIfAborted();
        received.add(result.item);
        await sealer.add(withStandIn(kept.restore(result), spec));
      }
      signal.throwIfAborted();
      const total = counted.total();
      if (!received.coversAll(total)) {
        throw new AutoglmError("Internal", "the engine gave no result for some items", {
          details: { received: received.size, total },
        });
      }
      await sealer.finish(total);
      this.#total = total;
    } catch (error) {
      // What is computed is not computed again, unless nobody wants it any more.
      if (!signal.aborted || this.#keepsUnsealed) await sealer.flush().catch(() => undefined);
      throw error;
    } finally {
      sealer.close();
    }
  }

  #newSealer(spec: WorkSpec, signal: AbortSignal): ChunkSealer {
    const { node, outbox, site, sealIntervalMs, onSealed, onChange } = this.#dependencies;
    const key = this.#assignment;
    return new ChunkSealer({
      node,
      key,
      withhold: spec.siteOnly === true ? (results) => site.withhold(key, results) : undefined,
      outbox,
      intervalMs: sealIntervalMs,
      signal,
      onSealed: (results: readonly ItemResult[]) => {
        for (const { item, ms } of results) {
          this.#produced?.add(item);
          this.#inferredItems++;
          this.#inferredMs += ms;
        }
        onSealed(results.length);
      },
      onBlocked: (error) => {
        this.#error = error;
        onChange();
      },
    });
  }

  #enter(phase: AssignmentReport["phase"]): void {
    if (this.#phase === phase) return;
    this.#phase = phase;
    this.#dependencies.onChange();
  }

  #noteFailure(error: AutoglmError): void {
    const { log, now, random, onChange } = this.#dependencies;
    this.#failures++;
    this.#error = error;
    const decision = decideRetry(error, this.#failures, random());
    const assignment = assignmentKeyText(this.#assignment);
    if (decision.kind === "fail") {
      this.#state = "Failed";
      this.#enter("Failed");
      log.warn({ assignment, error }, "the assignment failed");
    } else {
      this.#state = "Waiting";
      this.#retryAtMs = now() + decision.afterMs;
      log.info(
        { assignment, error, afterMs: Math.round(decision.afterMs) },
        "the assignment waits for another try",
      );
    }
    onChange();
  }
}

/** The items that have no result yet, and how many there are in all, once they were read to the end. */
function withoutItems(input: AsyncIterable<ParsedItem>, has: ItemSet) {
  let total = 0;
  async function* items(): AsyncGenerator<ParsedItem> {
    for await (const parsed of input) {
      total++;
      if (!has.has(parsed.item)) yield parsed;
    }
  }
  return { items: items(), total: () => total };
}
