/** From apply to the first result, as a user sees it: one text, a model that is loaded. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { type Figure, sampleOf, type Section } from "./figures.ts";
import type { Site } from "./site.ts";
import type { Subject } from "./subjects.ts";

const GOAL = { kind: "under", limit: 300 } as const;
const WARM_UP_ROUNDS = 3;
/** The last task is deleted and forgotten by then: a user does not apply into the middle of that. */
const PAUSE_MS = 400;
const run = promisify(execFile);

/** Milliseconds since the start, by one clock. */
interface Stages {
  /** The API server has answered the client, or kubectl has ended. */
  readonly created: number;
  /** `status.placedTime`. */
  readonly placed: number;
  /** By the ingester: on disk. */
  readonly accepted: number;
  /** Read by the client. */
  readonly read: number;
}

export interface LatencyOptions {
  readonly subject: Subject;
  readonly site: Site;
  readonly rounds: number;
  readonly say: (line: string) => void;
}

export async function measureLatency({ subject, site, rounds, say }: LatencyOptions): Promise<Section> {
  say(`apply to first result: ${rounds} tasks by kubectl and by the API, in turn`);
  // Every task has a text of its own: nothing of it is known to any part.
  const specOf = (name: string) => ({
    type: subject.type,
    model: subject.model.name,
    input: { inline: [`${subject.texts[0] ?? ""} ${name}`] },
  });
  const byKubectl: Stages[] = [];
  const byApi: Stages[] = [];
  const bare: number[] = [];
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    const kubectl = await oneTask(site, (name) => applyByKubectl(site, site.manifest(name, specOf(name))));
    const api = await oneTask(site, (name) => site.create(name, specOf(name)));
    const configMap = await bareKubectl(site);
    if (round < 0) continue;
    byKubectl.push(kubectl);
    byApi.push(api);
    bare.push(configMap);
  }
  const ms = (values: readonly number[]) => {
    const { median, p95 } = sampleOf(values);
    return [median.toFixed(0), p95.toFixed(0)];
  };
  const stage = (title: string, of: (stages: Stages) => number): string[] => [
    title,
    ...ms(byKubectl.map(of)),
    ...ms(byApi.map(of)),
  ];
  const kubectl = sampleOf(byKubectl.map(({ read }) => read));
  const api = sampleOf(byApi.map(({ read }) => read));
  const figures: Figure[] = [
    { id: "latency/kubectl-apply-to-first-result", unit: "ms", value: kubectl.median, goal: GOAL },
    { id: "latency/api-create-to-first-result", unit: "ms", value: api.median, goal: GOAL },
    {
      id: "latency/kubectl-apply-to-bare-kubectl",
      unit: "×",
      value: kubectl.median / sampleOf(bare).median,
    },
  ];
  return {
    title: "From apply to the first result, warm model, milliseconds since the start",
    notes: [
      `${rounds} tasks each, in turn: \`kubectl apply -f -\` as a process, and one POST over an open connection.`,
      "Ends when the client has the result from the ingester (GET /results?follow=true). Placed and accepted are the",
      "operator's and the ingester's own times. Baseline: kubectl apply of a ConfigMap, which is kubectl and API server alone.",
    ],
    header: ["stage", "kubectl median", "p95", "API median", "p95"],
    rows: [
      stage("created (kubectl ended / POST answered)", ({ created }) => created),
      stage("placed by the operator", ({ placed }) => placed),
      stage("accepted by the ingester", ({ accepted }) => accepted),
      stage("read by the client", ({ read }) => read),
      ["baseline: kubectl apply of a ConfigMap", ...ms(bare), "", ""],
    ],
    figures,
  };
}

async function oneTask(site: Site, create: (name: string) => Promise<string>): Promise<Stages> {
  await delay(PAUSE_MS);
  const name = `bench-${randomBytes(4).toString("hex")}`;
  const start = performance.timeOrigin + performance.now();
  const since = (time: number) => time - start;
  const now = () => since(performance.timeOrigin + performance.now());
  const uid = await create(name);
  const created = now();
  const [first] = await site.firstResults(uid);
  const read = now();
  if (first === undefined) throw new Error(`${name} has no result`);
  const { placedTime } = await site.status(name);
  await site.delete(name);
  return {
    created,
    placed: since(Date.parse(placedTime ?? "")),
    accepted: since(Date.parse(first.acceptedAt)),
    read,
  };
}

async function applyByKubectl(site: Site, manifest: object): Promise<string> {
  const running = run(site.kubectl, ["apply", "-f", "-", "-o", "jsonpath={.metadata.uid}"]);
  running.child.stdin?.end(JSON.stringify(manifest));
  return (await running).stdout;
}

async function bareKubectl(site: Site): Promise<number> {
  await delay(PAUSE_MS);
  const metadata = { name: `bench-${randomBytes(4).toString("hex")}`, namespace: "default" };
  const start = performance.now();
  await applyByKubectl(site, { apiVersion: "v1", kind: "ConfigMap", metadata, data: { text: "x" } });
  const ms = performance.now() - start;
  await run(site.kubectl, ["delete", "configmap", metadata.name, "--wait=false"]);
  return ms;
}
