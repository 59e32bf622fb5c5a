import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CONFIG_MAPS } from "@autoglm/kube";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TASKS } from "../../../cli/src/objects.ts";
import { until } from "../../support/cluster.ts";
import { startCli } from "./cli.ts";
import { ended, entitiesOf, startWorld, type World } from "./world.ts";

let world: World;
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "autoglm-cli-"));
  world = await startWorld();
});
afterAll(async () => {
  await world.stop();
  await rm(dir, { recursive: true });
});

const cli = (args: readonly string[], env: Readonly<Record<string, string>> = {}, input = "") =>
  startCli([...args, "-n", world.namespace], { ...world.env, ...env }, input);
const find = (name: string) => world.cluster.client.find(TASKS, { name, namespace: world.namespace });
const taskOf = (name: string) => until(() => find(name));
const manifest = (name: string) =>
  `apiVersion: autoglm.io/v1alpha1\nkind: AutoGLMTask\nmetadata: {name: ${name}}\nspec: {type: ner, input: {inline: [a, b]}}\n`;

it("prints the id at once, then results on stdout and progress on stderr, and ends with the task", async () => {
  const file = join(dir, "task.yaml");
  await writeFile(file, manifest("whole"));
  const run = cli(["run", file, "-o", "json"]);
  const task = await taskOf("whole");
  await until(() => run.stdout().includes("\n"));
  expect(JSON.parse(run.stdout())).toEqual({
    taskId: task.metadata.uid,
    namespace: world.namespace,
    name: "whole",
  });
  await world.setStatus("whole", { reason: "Running", node: "edge-1", progress: "0/2" });
  world.accept(task, [entitiesOf(1, "张三")]);
  await until(() => run.stdout().includes("张三"));
  world.accept(task, [entitiesOf(0, "李四")], { total: 2 });
  await world.setStatus("whole", ended("Complete", { reason: "Completed", progress: "2/2" }));
  const { code, stdout, stderr } = await run.ended;
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split("\n");
  expect(lines.slice(1).map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { item: 1, output: [{ word: "张三" }], node: "edge-1", scoreSource: "marginal", ms: 2 },
    { item: 0, output: [{ word: "李四" }] },
  ]);
  expect(stderr).toContain("whole: Running on edge-1 0/2\n");
  expect(stderr).toContain("whole: Completed 2/2\n");
  expect(stderr).not.toContain("\u001B");
});

it("ends with 3 when the task fails, and says why and what would help", async () => {
  const run = cli(["run", "-"], {}, manifest("failing"));
  await taskOf("failing");
  const status = { reason: "ModelNotFound", message: "there is no model x", hint: "create it" } as const;
  await world.setStatus("failing", ended("Failed", status));
  const { code, stderr } = await run.ended;
  expect(code).toBe(3);
  expect(stderr).toContain("failing: ModelNotFound: there is no model x\n  hint: create it\n");
  expect(stderr).toContain("why failing");
});

it("ends with 4 when the time is over, and leaves the task alone", async () => {
  const { code, stderr } = await cli(["run", "-", "--timeout", "3s"], {}, manifest("slow")).ended;
  expect(code).toBe(4);
  expect(stderr).toContain("timed out: what was created goes on");
  expect(await find("slow")).toBeDefined();
});

it("ends with 130 on Ctrl-C, and leaves the task alone", async () => {
  const run = cli(["run", "-"], {}, manifest("interrupted"));
  await until(() => run.stderr().includes("interrupted: Pending"));
  run.child.kill("SIGINT");
  const { code, stderr } = await run.ended;
  expect(code).toBe(130);
  expect(stderr).toContain("interrupted: what was created goes on");
  expect(await find("interrupted")).toBeDefined();
});

it("follows results that come later, also of a task that had none", async () => {
  const task = await world.createTask("later");
  const run = cli(["results", "later", "--follow", "-o", "text"]);
  await until(() => run.stderr().includes("later: Pending"));
  world.accept(task, [entitiesOf(0, "王五")], { total: 1 });
  await until(() => run.stdout() === "0\t王五/PER\n");
  await world.setStatus("later", ended("Complete"));
  expect((await run.ended).code).toBe(0);
});

it("runs several tasks at once and names them in each line", async () => {
  const run = cli(["run", "-", "-o", "text"], {}, `${manifest("one")}---\n${manifest("two")}`);
  for (const name of ["one", "two"]) {
    world.accept(await taskOf(name), [entitiesOf(0, name)], { total: 1 });
    await world.setStatus(name, ended("Complete"));
  }
  const { code, stdout } = await run.ended;
  expect(code).toBe(0);
  expect(stdout.split("\n")).toEqual(expect.arrayContaining(["one\t0\tone/PER", "two\t0\ttwo/PER"]));
});

it("makes a task from flags, prints its id, and returns when told to", async () => {
  const { code, stdout } = await cli([
    "run",
    "--type",
    "ner",
    "--name",
    "flags",
    "--detach",
    "张三在北京",
    "b",
  ]).ended;
  const task = await taskOf("flags");
  expect([code, stdout]).toEqual([
    0,
    `{"taskId":"${task.metadata.uid}","namespace":"${world.namespace}","name":"flags"}\n`,
  ]);
  expect(task.spec).toMatchObject({ type: "ner", input: { inline: ["张三在北京", "b"] }, priority: 0 });
});

it("brings a csv file as a ConfigMap that goes with its task", async () => {
  const file = join(dir, "reviews.csv");
  await writeFile(file, "id,review\n1,好\n");
  const args = ["run", "--type", "sentiment-analysis", "--name", "csv", "--file", file, "--field", "review"];
  const { code, stdout } = await cli([...args, "--detach", "-o", "name"]).ended;
  expect([code, stdout]).toEqual([0, "autoglmtask.autoglm.io/csv\n"]);
  const task = await taskOf("csv");
  expect(task.spec).toMatchObject({ inputField: "review", input: { configMapRef: { name: "csv-input" } } });
  const input = await world.cluster.client.get(CONFIG_MAPS, {
    name: "csv-input",
    namespace: world.namespace,
  });
  expect(input.data).toEqual({ "reviews.csv": "id,review\n1,好\n" });
  expect(input.metadata.ownerReferences).toMatchObject([{ kind: "AutoGLMTask", uid: task.metadata.uid }]);
});

it("creates nothing from a wrong manifest, or where results could not be read", async () => {
  const wrong = await cli(["run", "-"], {}, manifest("wrong").replace("type: ner", "type: nonsense")).ended;
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain("stdin, document 1: spec.type");
  const blind = await cli(["run", "-", "--context", "viewer"], { AUTOGLM_RESULTS_URL: "" }, manifest("wrong"))
    .ended;
  expect(blind.code).toBe(1);
  expect(blind.stderr).toMatch(/you may not read the ConfigMap autoglm-endpoints.*\nhint: .*--results-url/);
  expect(await find("wrong")).toBeUndefined();
});
