import { strict as assert } from "node:assert";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasErrorCode, type AssignmentKey } from "@autoglm/api";
import * as fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { inputTotal, missingChunks, producedItems } from "./contents.ts";
import { Outbox, type OutboxOptions } from "./outbox.ts";

const folders: string[] = [];
const freshFolder = () => {
  const dir = mkdtempSync(join(tmpdir(), "outbox-"));
  folders.push(dir);
  return dir;
};
afterEach(() => {
  for (const dir of folders.splice(0)) rmSync(dir, { recursive: true, force: true });
});

const keyOf = (number: number): AssignmentKey => ({ task: `task-${number}`, run: 0, shard: 0, epoch: 1 });
const bodyOf = (task: number, chunk: number, bytes = 200) =>
  Buffer.from(`${task}:${chunk}:`.padEnd(bytes, "x"));
const roomy: OutboxOptions = { limitBytes: 1e9, segmentBytes: 2048 };

async function append(outbox: Outbox, task: number, chunk: number, bytes?: number): Promise<void> {
  await outbox.append(
    { key: keyOf(task), chunk, items: [[chunk, chunk]], producedAt: "2026-01-01T00:00:00.000Z" },
    bodyOf(task, chunk, bytes),
  );
}

async function pendingOf(outbox: Outbox, task: number): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for (const pending of outbox.find(keyOf(task))?.chunks.values() ?? []) {
    const body = await outbox.read(pending);
    if (body) found.set(pending.chunk, body.toString());
  }
  return found;
}

const segmentsIn = (dir: string) =>
  readdirSync(dir)
    .sort()
    .map((name) => join(dir, name));

/** The folder as a power loss leaves it: what was synced, and any part of what was being written. */
function crashedCopy(outbox: Outbox, dir: string, tornPart: number): string {
  const copy = freshFolder();
  cpSync(dir, copy, { recursive: true });
  const files = segmentsIn(copy);
  const last = files.at(-1);
  if (last === undefined) return copy;
  const others = files.slice(0, -1).reduce((sum, file) => sum + statSync(file).size, 0);
  const durable = Math.max(0, outbox.diskBytes - others);
  const written = statSync(last).size;
  if (written > durable) truncateSync(last, durable + Math.floor((written - durable) * tornPart));
  return copy;
}

type Step =
  | { readonly kind: "append"; readonly task: number; readonly count: number; readonly bytes: number }
  | { readonly kind: "accept"; readonly task: number; readonly part: number }
  | { readonly kind: "forget"; readonly task: number }
  | { readonly kind: "restart" }
  | { readonly kind: "crash"; readonly task: number; readonly count: number; readonly tornPart: number };

const task = fc.integer({ min: 0, max: 2 });
const part = fc.double({ min: 0, max: 1, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      task,
      count: fc.integer({ min: 1, max: 6 }),
      bytes: fc.integer({ min: 20, max: 900 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("accept" as const), task, part }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("forget" as const), task }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("crash" as const),
      task,
      count: fc.integer({ min: 0, max: 4 }),
      tornPart: part,
    }),
  },
);

/** The outbox beside what must be in it. */
class Model {
  dir = freshFolder();
  outbox: Outbox | undefined;
  /** Per task: number → body. */
  readonly expected = new Map<number, Map<number, string>>([0, 1, 2].map((task) => [task, new Map()]));

  async open(): Promise<Outbox> {
    this.outbox = await Outbox.open(this.dir, roomy);
    return this.outbox;
  }

  of(task: number): Map<number, string> {
    return this.expected.get(task) ?? new Map<number, string>();
  }

  async run(step: Step): Promise<void> {
    const outbox = this.outbox ?? (await this.open());
    const next = "task" in step ? (outbox.find(keyOf(step.task))?.highest ?? -1) + 1 : 0;
    switch (step.kind) {
      case "append": {
        const numbers = Array.from({ length: step.count }, (_, index) => next + index);
        await Promise.all(numbers.map((chunk) => append(outbox, step.task, chunk, step.bytes)));
        for (const chunk of numbers)
          this.of(step.task).set(chunk, bodyOf(step.task, chunk, step.bytes).toString());
        return;
      }
      case "accept": {
        const through = Math.floor((next + 1) * step.part) - 1;
        outbox.accept(keyOf(step.task), through);
        for (const chunk of this.of(step.task).keys()) if (chunk <= through) this.of(step.task).delete(chunk);
        return;
      }
      case "forget":
        outbox.forget(keyOf(step.task));
        this.of(step.task).clear();
        return;
      case "restart":
        await outbox.close();
        await this.open();
        return;
      case "crash":
        await this.#crash(outbox, step, next);
    }
  }

  /** In the middle of some appends. What was written but not acknowledged may be there or not; never a part of it. */
  async #crash(
    outbox: Outbox,
    { task, count, tornPart }: Step & { kind: "crash" },
    first: number,
  ): Promise<void> {
    await outbox.flush();
    const acknowledged = new Set<number>();
    const started = Array.from({ length: count }, (_, index) => first + index);
    const appends = started.map((chunk) => append(outbox, task, chunk).then(() => acknowledged.add(chunk)));
    await new Promise(setImmediate);
    this.dir = crashedCopy(outbox, this.dir, tornPart);
    const durable = [...acknowledged];
    await Promise.all(appends);
    await outbox.close();
    const recovered = await this.open();
    const found = recovered.find(keyOf(task))?.chunks;
    assert.equal(recovered.recovery.damaged, 0);
    assert.deepEqual(
      durable.filter((chunk) => found?.has(chunk) !== true),
      [],
    );
    for (const chunk of started)
      if (found?.has(chunk)) this.of(task).set(chunk, bodyOf(task, chunk).toString());
  }
}

test("keeps exactly the durable, unaccepted chunks over any order of appends, acceptances, crashes and restarts", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      const model = new Model();
      const outboxNow = async () => model.outbox ?? (await model.open());
      for (const next of steps) {
        await model.run(next);
        for (const task of [0, 1, 2])
          expect(await pendingOf(await outboxNow(), task)).toEqual(model.of(task));
      }
      await model.outbox?.close();
    }),
    { numRuns: 60 },
  );
}, 60_000);

test("a file that ends anywhere yields the chunks before that place, whole, and can be written on", async () => {
  const dir = freshFolder();
  const outbox = await Outbox.open(dir, { limitBytes: 1e9 });
  for (let chunk = 0; chunk < 4; chunk++) await append(outbox, 1, chunk, 60);
  const ends = [...(outbox.find(keyOf(1))?.chunks.values() ?? [])].map(
    ({ place }) => place.offset + place.length,
  );
  await outbox.close();
  for (let size = 0; size <= (ends.at(-1) ?? 0); size += 3) {
    const copy = freshFolder();
    cpSync(dir, copy, { recursive: true });
    truncateSync(segmentsIn(copy).find((file) => statSync(file).size > 0) ?? "", size);
    const recovered = await Outbox.open(copy, { limitBytes: 1e9 });
    const whole = ends.filter((end) => end <= size).length;
    expect([...(await pendingOf(recovered, 1)).keys()]).toEqual(
      Array.from({ length: whole }, (_, chunk) => chunk),
    );
    expect(recovered.recovery).toMatchObject({ damaged: 0, wasTorn: size > 0 && !ends.includes(size) });
    await append(recovered, 1, whole);
    await recovered.close();
    const again = await Outbox.open(copy, { limitBytes: 1e9 });
    expect((await pendingOf(again, 1)).size).toBe(whole + 1);
    await again.close();
    rmSync(copy, { recursive: true });
  }
}, 60_000);

test("a flipped byte costs at most the record it is in, and its number is never used for another content", async () => {
  const dir = freshFolder();
  const outbox = await Outbox.open(dir, { limitBytes: 1e9 });
  outbox.open(keyOf(1), "grant");
  for (let chunk = 0; chunk < 5; chunk++) await append(outbox, 1, chunk);
  await outbox.close();
  const original = segmentsIn(dir).map((file) => [file, readFileSync(file)] as const);
  const [file, bytes] = original.find(([, content]) => content.length > 0) ?? ["", Buffer.alloc(0)];
  for (let at = 0; at < bytes.length; at += 7) {
    const copy = freshFolder();
    cpSync(dir, copy, { recursive: true });
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ 0x10;
    writeFileSync(join(copy, file.slice(dir.length)), damaged);
    const recovered = await Outbox.open(copy, { limitBytes: 1e9 });
    const pending = await pendingOf(recovered, 1);
    const numbers = recovered.numbersToFill(keyOf(1));
    expect(pending.size).toBeGreaterThanOrEqual(4);
    const chunks = [0, 1, 2, 3, 4];
    expect([...pending]).toEqual(
      chunks.filter((chunk) => pending.has(chunk)).map((chunk) => [chunk, bodyOf(1, chunk).toString()]),
    );
    expect(numbers).toEqual(expect.arrayContaining(chunks.filter((chunk) => !pending.has(chunk))));
    expect(recovered.recovery.damaged + Number(recovered.recovery.wasTorn)).toBe(1);
    await recovered.close();
    rmSync(copy, { recursive: true });
  }
}, 60_000);

test("a chunk that is damaged while the agent runs is reported, and its number must be filled", async () => {
  const dir = freshFolder();
  const damaged: AssignmentKey[] = [];
  const outbox = await Outbox.open(dir, { ...roomy, onDamage: (key) => damaged.push(key) });
  outbox.open(keyOf(1), "grant");
  await append(outbox, 1, 0);
  await append(outbox, 1, 1);
  const file = segmentsIn(dir).at(-1) ?? "";
  const bytes = readFileSync(file);
  bytes[bytes.indexOf("1:0:xxx") + 50] = 0;
  writeFileSync(file, bytes);
  expect([...(await pendingOf(outbox, 1)).keys()]).toEqual([1]);
  expect(damaged).toEqual([keyOf(1)]);
  const contents = outbox.find(keyOf(1));
  expect(contents && missingChunks(contents)).toEqual([0]);
  expect(contents && producedItems(contents).toRanges()).toEqual([[1, 1]]);
  await outbox.close();
});

test("refuses beyond its limit and takes more once something was accepted", async () => {
  const outbox = await Outbox.open(freshFolder(), { limitBytes: 1500, segmentBytes: 2048 });
  outbox.open(keyOf(1), "grant");
  await append(outbox, 1, 0, 500);
  const refused: unknown = await append(outbox, 1, 1, 1200).catch((error: unknown) => error);
  expect(hasErrorCode(refused, "OutboxFull")).toBe(true);
  expect(outbox.isFull).toBe(true);
  const freed = outbox.whenFreed(AbortSignal.timeout(10_000));
  outbox.accept(keyOf(1), 0);
  await freed;
  expect(outbox.isFull).toBe(false);
  await append(outbox, 1, 1, 1200);
  await outbox.close();
});

test("its files stay bounded under work that repeats", async () => {
  const outbox = await Outbox.open(freshFolder(), { limitBytes: 1e6, segmentBytes: 4096 });
  let largest = 0;
  for (let run = 0; run < 200; run++) {
    const key = { ...keyOf(1), run };
    outbox.open(key, "grant");
    for (let chunk = 0; chunk < 4; chunk++) {
      await outbox.append({ key, chunk, items: [[chunk, chunk]], producedAt: "" }, bodyOf(1, chunk, 700));
    }
    outbox.accept(key, 3);
    if (run >= 2) outbox.forget({ ...key, run: run - 2 });
    await outbox.flush();
    largest = Math.max(largest, outbox.diskBytes);
  }
  expect(largest).toBeLessThan(6 * 4096);
  await outbox.close();
});

test("remembers after a restart what was produced, accepted, granted and unlisted", async () => {
  const dir = freshFolder();
  const outbox = await Outbox.open(dir, roomy);
  outbox.open(keyOf(1), "grant-1");
  for (let chunk = 0; chunk < 3; chunk++) await append(outbox, 1, chunk);
  await outbox.append({ key: keyOf(1), chunk: 3, items: [[7, 9]], producedAt: "", total: 10 }, bodyOf(1, 3));
  outbox.accept(keyOf(1), 1);
  outbox.markUnlisted(keyOf(1), 123);
  await outbox.close();
  const again = await Outbox.open(dir, roomy);
  const contents = again.find(keyOf(1));
  expect(contents && producedItems(contents).toRanges()).toEqual([
    [0, 2],
    [7, 9],
  ]);
  expect(contents && inputTotal(contents)).toBe(10);
  expect(contents).toMatchObject({ grant: "grant-1", acceptedThrough: 1, highest: 3, unlistedAt: 123 });
  await again.close();
});
