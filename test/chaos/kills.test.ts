/**
 * kill -9 of one process after the other in the middle of a task: it completes all the same, with one result per item,
 * each the one that an undisturbed run gives.
 */
import { setTimeout as delay } from "node:timers/promises";
import { seededRandom } from "@autoglm/core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { until } from "../support/cluster.ts";
import { configMap, groupMembers, TestInstallation, untilGone, wipe } from "../support/installation.ts";
import { numberedNews, numberedReviews } from "../e2e/example-data.ts";
import { differingItems, type Outputs, outputsOf } from "./outputs.ts";

const ITEMS = 1000;
const LINES = 20_000;
const NER = { type: "ner", input: { configMapRef: { name: "news" } } } as const;
const REVIEWS = { type: "sentiment-analysis", input: { file: "reviews.txt" } } as const;

let site: TestInstallation;
/** What `NER` gives when nobody interferes. */
let undisturbed: Outputs;

/** One thread and small chunks: there is a middle, and something is on its way all the time. */
const OPTIONS = { agentEnv: { AUTOGLM_THREADS: "1", AUTOGLM_SEAL_SECONDS: "0.1" } };

beforeAll(async () => {
  site = await TestInstallation.start(OPTIONS);
  await site.apply(configMap("news", { "news.jsonl": numberedNews(ITEMS) }));
  site.writeData("reviews.txt", numberedReviews(LINES));
  const uid = await site.createTask("undisturbed", NER);
  await site.completed("undisturbed");
  undisturbed = outputsOf(await site.records(uid), ITEMS);
});
afterAll(() => site.stop());

/** What a run that nothing can harm comes to. */
const UNHARMED = {
  results: ITEMS,
  differing: [],
  // Each came back before anybody's patience was over: nothing was placed anew.
  epochs: [1],
  hasResultsFromBefore: true,
  hasResultsFromAfter: true,
  ledger: expect.objectContaining({ delivered: ITEMS, pending: 0, lost: 0 }),
};

/** Runs the task, strikes once it is in its middle, and tells what came of it. */
async function runDespite(name: string, strike: (node: string) => Promise<void>) {
  const uid = await site.createTask(name, NER);
  await site.acceptedAtLeast(uid, 100);
  const { status } = await site.task(name);
  const struckAt = Date.now();
  await strike(status?.node ?? "");

  const done = await site.completed(name);
  const records = await site.records(uid);
  const outputs = outputsOf(records, ITEMS);
  const times = records.map(({ acceptedAt }) => Date.parse(acceptedAt));
  return {
    results: records.length,
    differing: differingItems(outputs, undisturbed),
    epochs: [...new Set(records.map(({ epoch }) => epoch))],
    hasResultsFromBefore: Math.min(...times) < struckAt,
    hasResultsFromAfter: Math.max(...times) > struckAt,
    ledger: done.status?.ledger,
  };
}

async function killForAWhile(name: string): Promise<void> {
  await site.kill(name);
  await delay(1500);
  await site.restart(name);
}

it.each(["operator", "ingester", "nats-server", "kube-apiserver"])(
  "survives kill -9 of the %s",
  async (victim) => {
    const outcome = await runDespite(`without-${victim}`, () => killForAWhile(victim));
    expect(outcome).toEqual(UNHARMED);
  },
);

it("survives kill -9 of the agent and its inference processes", async () => {
  const outcome = await runDespite("without-agent", (node) => killForAWhile(`agent-${node}`));
  expect(outcome).toEqual(UNHARMED);
});

it("survives kill -9 of the agent alone, and its inference processes don't stay behind", async () => {
  const outcome = await runDespite("without-agent-alone", async (node) => {
    const agent = site.pidOf(`agent-${node}`);
    const children = groupMembers(agent).filter((pid) => pid !== agent);
    expect(children.length).toBeGreaterThan(0);
    process.kill(agent, "SIGKILL");
    await untilGone([agent, ...children]);
    await site.restart(`agent-${node}`);
  });
  expect(outcome).toEqual(UNHARMED);
});

it("survives kill -9 of the inference process in mid-batch", async () => {
  const outcome = await runDespite("without-inference", async (node) => {
    const agent = site.pidOf(`agent-${node}`);
    const children = groupMembers(agent).filter((pid) => pid !== agent);
    for (const child of children) process.kill(child, "SIGKILL");
    await untilGone(children);
  });
  expect(outcome).toEqual(UNHARMED);
});

it("survives nats-server losing its disk with results in it that nobody has taken", async () => {
  const outcome = await runDespite("without-streams", async () => {
    await site.kill("ingester");
    await site.taskWhen("without-streams", ({ status }) => (status?.ledger?.pending ?? 0) > 0);
    await site.kill("nats-server");
    wipe(site.natsStoreDir);
    await delay(1000);
    await site.restart("nats-server");
    await site.restart("ingester");
  });
  expect(outcome).toEqual(UNHARMED);
});

it("survives everything dying at once, as at a power cut, etcd included", async () => {
  const outcome = await runDespite("without-anything", async () => {
    await site.killAll();
    await site.up(OPTIONS);
  });
  expect(outcome).toEqual(UNHARMED);
});

const seed = Number(process.env["AUTOGLM_CHAOS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
it(`survives kills at random in a file of ${LINES} lines (AUTOGLM_CHAOS_SEED=${seed})`, async () => {
  const quiet = await site.createTask("quiet", REVIEWS);
  await site.completed("quiet");
  const random = seededRandom(seed);
  const uid = await site.createTask("noisy", REVIEWS);
  let struck = 0;
  for (let next = 500; ; next += 1000 + Math.floor(random() * 2000)) {
    const { accepted } = await site.acceptedAtLeast(uid, Math.min(next, LINES));
    if (accepted === LINES) break;
    const { status } = await site.task("noisy");
    const victims = ["operator", "ingester", "nats-server", `agent-${status?.node}`];
    const victim = victims[Math.floor(random() * victims.length)] ?? "";
    await site.kill(victim);
    await delay(random() * 1000);
    await site.restart(victim);
    struck++;
    // The one that was killed may be who answers.
    await until(async () => (await site.ledger(uid).catch(() => undefined)) !== undefined);
  }
  expect(struck).toBeGreaterThanOrEqual(2);
  await site.completed("noisy");
  const [noisy, expected] = [await site.records(uid), await site.records(quiet)];
  expect(differingItems(outputsOf(noisy, LINES), outputsOf(expected, LINES))).toEqual([]);
});
