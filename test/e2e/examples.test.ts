/** The first steps of the README on a real control plane, with the commands as they stand there. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { expectEveryItemOnce, TestInstallation, untilGone } from "../support/installation.ts";
import { exampleData } from "./example-data.ts";

let site: TestInstallation;
let stopped = false;

beforeAll(async () => {
  site = await TestInstallation.start();
  exampleData(site);
});
afterAll(async () => {
  if (!stopped) await site.stop();
});

it("explains every task type with its default tier and autoPrompt", async () => {
  const fields = await site.kubectl("explain", "--recursive", "autoglmtask.spec");
  for (const field of ["type", "model", "input", "placement", "tier", "runIntervalSeconds"])
    expect(fields).toContain(field);
  const type = (await site.kubectl("explain", "autoglmtask.spec.type")).replaceAll(/\s+/g, " ");
  expect(type).toContain("text-classification (alias sentiment-analysis): default tier 4Gi, autoPrompt yes");
  expect(type).toContain("token-classification (alias ner): default tier 6Gi, autoPrompt yes");
  expect(type).toContain("text-generation: default tier 8Gi, autoPrompt no");
});

it("completes all of examples/", async () => {
  await site.kubectl("apply", "-f", "examples/");
  await site.kubectl("wait", "--for=condition=Complete", "autoglmtask", "--all", "--timeout=120s");
  expect((await site.kubectl("get", "autoglmtasks", "-o", "name")).trim().split("\n")).toHaveLength(4);
});

it("shows type, model, tier, node, progress, reason and age as columns", async () => {
  const [header = "", ...rows] = (await site.kubectl("get", "autoglmtasks")).trim().split("\n");
  expect(header.split(/\s+/)).toEqual(["NAME", "TYPE", "MODEL", "TIER", "NODE", "PROGRESS", "REASON", "AGE"]);
  expect(rows.map((row) => row.split(/\s+/).slice(0, 7))).toEqual([
    ["auto-sentiment", "text-classification", "zh-sentiment", "4Gi", "cloud-8g", "3/3", "Completed"],
    ["generate-answers", "text-generation", "smollm2-135m-instruct", "8Gi", "edge-8g", "3/3", "Completed"],
    ["ner-news", "token-classification", "zh-ner", "6Gi", "edge-6g", "12/12", "Completed"],
    ["sentiment-reviews", "text-classification", "zh-sentiment", "4Gi", "edge-4g", "200/200", "Completed"],
  ]);
  // The short names, and autoglm's own tables, are the same.
  expect(await site.kubectl("get", "agt", "-o", "name")).toBe(
    await site.kubectl("get", "autoglmtasks", "-o", "name"),
  );
  expect(await site.autoglm("get", "ner-news")).toContain("edge-6g");
});

it("shows nodes with tier, where it comes from, and the models they hold", async () => {
  const rows = (await site.autoglm("nodes")).trim().split("\n").slice(1);
  expect(rows.map((row) => row.split(/\s+/).slice(0, 5))).toEqual([
    ["cloud-8g", "8Gi", "Probe", "cloud", "cloud-gpu"],
    ["edge-4g", "4Gi", "Label", "edge", "workshop"],
    ["edge-6g", "6Gi", "GFD", "edge", "hangzhou"],
    ["edge-8g", "8Gi", "GFD", "edge", "hangzhou"],
  ]);
  expect((await site.node("edge-6g")).status).toMatchObject({
    flavour: "OpenYurt",
    models: [{ model: "zh-ner" }],
  });
  expect((await site.node("edge-4g")).status?.flavour).toBe("K3s");
  expect(await site.autoglm("models")).toContain("zh-sentiment");
});

it("tells the story of a task as events, and why it is where it is", async () => {
  const described = await site.kubectl("describe", "autoglmtask", "ner-news");
  const events = described.slice(described.indexOf("Events:"));
  for (const event of ["Accepted", "Placed", "Completed"])
    expect(events).toMatch(new RegExp(`Normal\\s+${event}\\s`));
  expect(events).toContain("on node edge-6g: best fit of 3 nodes: edge, tier 6Gi for 6Gi");
  expect(await site.autoglm("why", "ner-news")).toContain("best fit of 3 nodes");
});

it.each([
  ["sentiment-reviews", 200],
  ["ner-news", 12],
  ["generate-answers", 3],
  ["auto-sentiment", 3],
])("prints every result of %s: %i", async (name, count) => {
  const results = await site.printedResults(name);
  expect(results.map(({ item }) => item)).toEqual([...results.keys()]);
  expectEveryItemOnce(results, count);
  expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
  const text = await site.autoglm("results", name, "-o", "text");
  expect(text.trimEnd().split("\n")).toHaveLength(count);
});

it("gives outputs in the shapes of Hugging Face pipelines", async () => {
  const probability = expect.toSatisfy((score) => score > 0 && score <= 1, "a probability");
  const [sentiment] = await site.printedResults("auto-sentiment");
  expect(sentiment).toEqual({
    item: 0,
    output: [
      { label: "positive", score: probability },
      { label: "negative", score: probability },
    ],
    scoreSource: "probability",
    node: "cloud-8g",
    ms: expect.any(Number),
  });
  const [news] = await site.printedResults("ner-news");
  expect(news?.scoreSource).toBe("marginal");
  expect(news?.output).toContainEqual({
    entity_group: "PER",
    score: probability,
    word: "江泽民",
    start: 0,
    end: 3,
  });
  const [answer] = await site.printedResults("generate-answers");
  expect(answer).toMatchObject({
    output: [{ generated_text: expect.stringContaining("Paris") }],
    scoreSource: "logprob",
  });
});

it("judges most reviews as their readers did", async () => {
  const { reviews } = exampleData(site);
  const results = await site.printedResults("sentiment-reviews");
  const right = results.filter(({ item, output }) => output?.[0]?.["label"] === reviews[item]?.label);
  expect(right.length / reviews.length).toBeGreaterThan(0.8);
});

it("follows a task that is run from the command line: id and results on stdout, progress on stderr", async () => {
  const { exitCode, stdout, stderr } = await site.run("autoglm", [
    "run",
    "--type",
    "sentiment-analysis",
    "非常满意",
    "太差了",
  ]);
  expect(exitCode).toBe(0);
  const [first = "", ...results] = stdout.trim().split("\n");
  expect(JSON.parse(first)).toMatchObject({ taskId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
  const labels = results.map((line) => JSON.parse(line) as { item: number; output: { label: string }[] });
  expect(labels.sort((a, b) => a.item - b.item).map(({ output }) => output[0]?.label)).toEqual([
    "positive",
    "negative",
  ]);
  expect(stderr).toContain("Completed");
});

it("tells by its exit code that a task failed, that time is over, that the command line is wrong", async () => {
  const failed = await site.run("autoglm", ["run", "--type", "ner", "--node-file", "no-such-file.txt"]);
  expect(failed).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("InputFileNotFound") });
  const waits = [
    "run",
    "--type",
    "ner",
    "--tier",
    "8Gi",
    "--strategy",
    "EdgeOnly",
    "--name",
    "in-time",
    "--timeout",
    "1ms",
    "北京",
  ];
  expect((await site.run("autoglm", waits)).exitCode).toBe(4);
  expect((await site.run("autoglm", ["run", "--type", "translation", "北京"])).exitCode).toBe(2);
  expect((await site.run("autoglm", ["results", "no-such-task"])).exitCode).toBe(1);
});

it("stops and leaves neither a process nor a folder", async () => {
  const pids = site.pids();
  // etcd, kube-apiserver, controller-manager, nats-server, ingester, operator, four agents; each agent has children.
  expect(pids.length).toBeGreaterThan(10);
  stopped = true;
  await site.stop();
  await untilGone(pids);
  expect(existsSync(site.dir)).toBe(false);
});
