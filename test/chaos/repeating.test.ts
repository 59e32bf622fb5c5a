/** A task that repeats leaves nothing behind but its results: neither in the outbox nor in the stream. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { FLEET } from "../../hack/local/fleet.ts";
import { until } from "../support/cluster.ts";
import { configMap, expectEveryItemOnce, TestInstallation } from "../support/installation.ts";
import { outboxBytes } from "./outbox-bytes.ts";

const NODE = "edge-4g";
const ITEMS = 30_000;
const RUNS = 15;
/** Older ones are forgotten; the default of AUTOGLM_KEEP_RUNS is 10, and a run or two may begin while we look. */
const KEPT_RUNS = 7;
/** The outbox frees whole files of 8 MiB; three of them may stand there with nothing live in them, and something is live. */
const BOUND_BYTES = (3 * 8 + 4) * 2 ** 20;

let site: TestInstallation;

beforeAll(async () => {
  site = await TestInstallation.start({ nodes: FLEET.filter(({ name }) => name === NODE) });
  site.writeData("reviews.jsonl", mostlyBroken(ITEMS));
});
afterAll(() => site.stop());

it(`keeps outbox and stream small over ${RUNS} runs, each with all its results`, async () => {
  const spec = {
    type: "sentiment-analysis",
    input: { file: "reviews.jsonl" },
    run: "Continuous",
    runIntervalSeconds: 1,
  } as const;
  await site.createTask("again", spec);
  const outbox = [0];
  const stream = [0];
  await until(async () => {
    outbox.push(outboxBytes(site, NODE));
    stream.push(await streamBytes());
    return ((await site.task("again")).status?.run ?? 0) >= RUNS;
  });
  await site.kubectl("patch", "agt", "again", "--type", "merge", "-p", '{"spec":{"suspend":true}}');

  const writtenBytes = outbox
    .slice(1)
    .reduce((sum, size, index) => sum + Math.max(0, size - (outbox[index] ?? 0)), 0);
  expect(writtenBytes).toBeGreaterThan(1.2 * BOUND_BYTES);
  expect(Math.max(...outbox)).toBeLessThan(BOUND_BYTES);
  expect(Math.max(...stream)).toBeLessThan(writtenBytes / RUNS);
  for (let run = RUNS - KEPT_RUNS; run < RUNS; run++) {
    expectEveryItemOnce(await site.printedResults("again", "--run", String(run)), ITEMS);
  }
  // The last chunks of the run that was suspended arrive, and are taken.
  await until(async () => (await streamBytes()) === 0);
});

it("reads its ConfigMap anew at each run, and stops when it is deleted", async () => {
  await site.apply(configMap("watched", { text: "很好\n" }));
  await site.createTask("watch", {
    type: "sentiment-analysis",
    input: { configMapRef: { name: "watched" } },
    run: "Continuous",
    runIntervalSeconds: 1,
  });
  await site.taskWhen("watch", ({ status }) => status?.progress === "1/1");
  await site.apply(configMap("watched", { text: "很好\n很差\n" }));
  const { status } = await site.taskWhen("watch", ({ status }) => status?.progress === "2/2");
  expect(status?.run).toBeGreaterThan(0);
  expectEveryItemOnce(await site.printedResults("watch", "--run", "0"), 1);
  await site.kubectl("delete", "agt", "watch", "--timeout=60s");
  await until(async () => (await site.node(NODE)).status?.assignments === 0);
});

/** Only every 50th line can be read. An error is a result like any other, and takes no time to make. */
function mostlyBroken(count: number): string {
  const lines = Array.from({ length: count }, (_, item) =>
    item % 50 === 0 ? { text: `第${item}个，非常满意` } : { other: item },
  );
  return lines.map((line) => JSON.stringify(line)).join("\n");
}

interface JetStreamState {
  readonly account_details: readonly {
    readonly stream_detail?: readonly { readonly name: string; readonly state: { readonly bytes: number } }[];
  }[];
}

/** Bytes in RESULTS by nats-server's own account. */
async function streamBytes(): Promise<number> {
  const { natsMonitor } = JSON.parse(readFileSync(join(site.dir, "ports.json"), "utf8")) as {
    readonly natsMonitor: number;
  };
  const reply = await fetch(`http://127.0.0.1:${natsMonitor}/jsz?accounts=true&streams=true`);
  // As nats-server documents it.
  const { account_details } = (await reply.json()) as JetStreamState;
  const streams = account_details.flatMap(({ stream_detail = [] }) => stream_detail);
  const results = streams.find(({ name }) => name === "RESULTS");
  if (results === undefined) throw new Error("there is no stream RESULTS");
  return results.state.bytes;
}
