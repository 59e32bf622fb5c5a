/**
 * A node whose link is cut, and one that is gone for good.
 *
 *     edge-6g ──▶ proxy ──▶ NATS ◀── the other agents, operator, ingester
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { FLEET } from "../../hack/local/fleet.ts";
import { until } from "../support/cluster.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { conditionOf, configMap, expectEveryItemOnce, TestInstallation } from "../support/installation.ts";
import { numberedNews } from "../e2e/example-data.ts";
import { outboxBytes } from "./outbox-bytes.ts";

const ITEMS = 1000;
const FAR_NODE = "edge-6g";
const NER = { type: "ner", input: { configMapRef: { name: "news" } } } as const;

let site: TestInstallation;
let link: FaultProxy;

beforeAll(async () => {
  const operatorEnv = { AUTOGLM_HEARTBEAT_TIMEOUT_SECONDS: "4", AUTOGLM_NODE_PATIENCE_SECONDS: "10" };
  const agentEnv = { AUTOGLM_THREADS: "1", AUTOGLM_SEAL_SECONDS: "0.1", AUTOGLM_HEARTBEAT_SECONDS: "1" };
  site = await TestInstallation.start({ nodes: [] });
  // Written by up alone.
  const { nats } = JSON.parse(readFileSync(join(site.dir, "ports.json"), "utf8")) as {
    readonly nats: number;
  };
  link = await FaultProxy.start(nats);
  // An agent learns the address of NATS when it enrols, and keeps it.
  await site.kill("operator");
  await site.up({
    operatorEnv: { ...operatorEnv, AUTOGLM_NATS_PUBLIC_URLS: `nats://127.0.0.1:${link.port}` },
    agentEnv,
    nodes: FLEET.filter(({ name }) => name === FAR_NODE),
  });
  await site.kill("operator");
  await site.up({ operatorEnv, agentEnv, nodes: FLEET.filter(({ name }) => name !== FAR_NODE) });
  await site.apply(configMap("news", { "news.jsonl": numberedNews(ITEMS) }));
  site.writeData("news.jsonl", numberedNews(ITEMS));
});
afterAll(async () => {
  await site.stop();
  await link.stop();
});

/** A task on the far node, in its middle. */
async function underway(name: string, spec: Parameters<TestInstallation["createTask"]>[1]): Promise<string> {
  await until(async () => (await site.node(FAR_NODE)).status?.link === "Connected");
  const uid = await site.createTask(name, spec);
  const { accepted } = await site.acceptedAtLeast(uid, 100);
  expect(accepted).toBeLessThan(ITEMS);
  expect((await site.task(name)).status?.node).toBe(FAR_NODE);
  return uid;
}

it("says Unknown and since when while the link is cut, works on, and delivers everything after it", async () => {
  const uid = await underway("cut-off", { type: "ner", input: { file: "news.jsonl" } });
  link.cut();
  const bytesAtCut = outboxBytes(site, FAR_NODE);
  const unreachable = await site.taskWhen("cut-off", ({ status }) => status?.reason === "NodeUnreachable");
  expect(conditionOf(unreachable, "Running")).toBe("Unknown");
  expect(conditionOf(unreachable, "Ready")).toBe("Unknown");
  expect(unreachable.status?.message).toMatch(/can't be reached, last heard \d{4}-/);
  expect(unreachable.status?.hint).toContain(FAR_NODE);
  const { status: node } = await site.node(FAR_NODE);
  expect(node?.link).toBe("Unknown");
  expect(Date.parse(node?.lastSeen ?? "")).toBeLessThan(Date.now());
  const acceptedWhileCut = (await site.ledger(uid))?.accepted;
  expect(acceptedWhileCut).toBeLessThan(ITEMS);
  expect(outboxBytes(site, FAR_NODE)).toBeGreaterThan(bytesAtCut);

  link.heal();
  await site.completed("cut-off");
  const records = await site.records(uid);
  expectEveryItemOnce(records, ITEMS);
  // The file is there alone: the task waited for its node however long it took.
  expect(new Set(records.map(({ node, epoch }) => `${node} ${epoch}`))).toEqual(new Set([`${FAR_NODE} 1`]));
});

it("moves on when patience is over, and counts nothing twice when the lost node comes back with its results", async () => {
  const uid = await underway("moved", NER);
  link.cut();
  const moved = await site.taskWhen("moved", ({ status }) => status?.placements?.[0]?.epoch === 2);
  expect(moved.status?.node).not.toBe(FAR_NODE);
  await site.acceptedAtLeast(uid, 500);
  link.heal();
  await site.completed("moved");
  const records = await site.records(uid);
  expectEveryItemOnce(records, ITEMS);
  expect(new Set(records.map(({ epoch }) => epoch))).toEqual(new Set([1, 2]));
  // What both had made comes late, is counted and dropped; the number of results stays.
  await until(async () => ((await site.ledger(uid))?.duplicatesDropped ?? 0) > 0);
  expect(await site.ledger(uid)).toMatchObject({ accepted: ITEMS, total: ITEMS, complete: true });
  expectEveryItemOnce(await site.records(uid), ITEMS);
});

it("computes only what is missing when a node is gone for good", async () => {
  const uid = await underway("bereft", NER);
  await site.kill(`agent-${FAR_NODE}`);
  const moved = await site.taskWhen("bereft", ({ status }) => status?.placements?.[0]?.epoch === 2);
  expect(moved.status?.placements?.[0]?.message).toContain(`node ${FAR_NODE} is gone`);
  const done = await site.completed("bereft");
  const records = await site.records(uid);
  expectEveryItemOnce(records, ITEMS);
  const byNode = Map.groupBy(records, ({ node }) => node);
  expect(new Set(byNode.keys())).toEqual(new Set([FAR_NODE, moved.status?.node]));
  // Nothing that had arrived was made again.
  expect(done.status?.ledger).toMatchObject({ delivered: ITEMS, duplicatesDropped: 0 });
  expect((await site.node(FAR_NODE)).status?.link).toBe("Unknown");
});
