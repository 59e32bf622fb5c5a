import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { fork } from "node:child_process";
import { GateReplay, type GateLogRecord } from "@autoglm/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { routeEngines } from "../../../edge-agent/src/agent/engine-router.ts";
import type { InferenceEngine } from "../../../edge-agent/src/agent/ports.ts";
import { createEngine, type Engine } from "../../../edge-agent/src/engine/index.ts";
import { readModelFolder } from "../../../edge-agent/src/models/model-folder.ts";
import { promptsFor } from "../../support/prompt-library.ts";
import { startSite, type RemoteSite } from "../remote/harness.ts";
import { makeFolder, openGate, PRE_GATE, REVIEWS, silent } from "./pair.ts";

let onnx: Engine;
let site: RemoteSite;
let engine: InferenceEngine;
beforeAll(async () => {
  onnx = createEngine({ threads: 2, memoryBudgetBytes: 2 ** 31, log: silent });
  site = await startSite({ flavour: "vllm", say: () => ({ text: "A", first: { A: 0.9, B: 0.1 } }) });
  engine = routeEngines(onnx, site.engine);
});
afterAll(async () => {
  await onnx.close();
  await site[Symbol.asyncDispose]();
});

const many = Array.from({ length: 200 }, (_, index) => `${REVIEWS[index % 7]}编号${index}`);
const loadedModels = () => onnx.reports().map(({ model }) => model);

describe("the network of the pre-gate", () => {
  it("gives what its recipe measured, in a process of its own", async () => {
    interface Vector {
      readonly text: string;
      readonly taskType: string;
      readonly pHard: number;
    }
    const vectors: Vector[] = JSON.parse(await readFile(path.join(PRE_GATE, "vectors.json"), "utf8"));
    async function* items() {
      for (const [item, { text, taskType }] of vectors.entries()) yield { item, text, fields: { taskType } };
    }
    const model = readModelFolder(PRE_GATE);
    const signal = AbortSignal.timeout(50_000);
    let count = 0;
    for await (const { item, output } of onnx.infer({
      model,
      type: "tensor",
      items: items(),
      parameters: {},
      signal,
    })) {
      const pHard = output?.type === "tensor" ? output.outputs[0]?.data[0] : undefined;
      expect(pHard, JSON.stringify(vectors[item])).toBeCloseTo(vectors[item]?.pHard ?? -1, 4);
      count++;
    }
    expect(count).toBe(vectors.length);
  });
});

describe("a gate between two models here", () => {
  it("loads the large one when the first item is too hard for the small one", async () => {
    await using folder = await makeFolder();
    const { gate, infer } = await openGate(engine, folder.path, {
      threshold: 1,
      minConfidence: 0,
      minMargin: 0,
    });
    const easy = await infer(REVIEWS.slice(0, 3));
    expect(easy.map(({ answeredBy }) => answeredBy?.model)).toEqual(Array(3).fill("zh-sentiment-tiny"));
    expect(loadedModels()).not.toContain("zh-sentiment");
    await gate.close();
    const strict = await openGate(engine, folder.path, { minConfidence: 0.9 });
    const hard = await strict.infer(REVIEWS);
    expect(hard.map(({ answeredBy }) => answeredBy?.model)).toContain("zh-sentiment");
    expect(loadedModels()).toContain("zh-sentiment");
    for (const { gate, output, error } of hard) {
      expect(gate?.policy).toBe("1");
      expect(output ?? error).toBeDefined();
    }
    await strict.gate.close();
  });

  it("records decisions that replay, and no text", async () => {
    await using folder = await makeFolder();
    const { gate, infer } = await openGate(engine, folder.path, { auditShare: 0.3 });
    await infer(many);
    await gate.close();
    const log = path.join(folder.path, "gate/decisions/task.0.jsonl");
    const content = await readFile(log, "utf8");
    expect(content).not.toMatch(/[\u4e00-\u9fff]/);
    const replay = new GateReplay();
    for (const line of content.trimEnd().split("\n")) {
      const record: GateLogRecord = JSON.parse(line);
      expect(replay.next(record)).toBeUndefined();
    }
    expect(replay.decisions).toBeGreaterThanOrEqual(many.length);
    expect(replay.outcomes).toBeGreaterThan(0);
  });
});

/** What the deep model is behind, byte by byte. */
async function startTap(port: number) {
  const seen = { connections: 0, bytes: 0 };
  const server = createServer((socket) => {
    seen.connections++;
    const upstream = connect(port, "127.0.0.1");
    socket.on("data", (chunk) => {
      seen.bytes += chunk.length;
    });
    socket.pipe(upstream).pipe(socket);
    for (const end of [socket, upstream]) end.on("error", () => end.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: own } = server.address() as AddressInfo;
  return {
    seen,
    url: `http://127.0.0.1:${own}/v1`,
    async [Symbol.asyncDispose]() {
      server.close();
      await Promise.resolve();
    },
  };
}

function endpointAt(url: string) {
  const model = { ...site.model, endpoint: { ...site.model.endpoint, url } };
  return { name: model.name, variant: model.variant, isEndpoint: true, find: async () => model };
}

describe("a gate before an endpoint", () => {
  const prompts = promptsFor("text-classification", ["negative", "positive"]);
  const strict = { minConfidence: 1, threshold: 0, auditShare: 1 };

  it("sends no byte of a SiteOnly input, and of another one what is hard", async () => {
    await using folder = await makeFolder();
    await using tap = await startTap(Number(new URL(site.server.url).port));
    const deep = endpointAt(tap.url);
    const closed = await openGate(engine, folder.path, strict, { deep, prompts, siteOnly: true });
    const kept = await closed.infer(many);
    await closed.gate.close();
    expect(kept.map(({ gate }) => gate?.rule)).toEqual(Array(many.length).fill("SiteOnly"));
    expect(tap.seen).toEqual({ connections: 0, bytes: 0 });
    // The same gate without that class does send: the tap would have seen it.
    const open = await openGate(engine, folder.path, strict, { deep, prompts, scope: "task.1" });
    const sent = await open.infer(many.slice(0, 5));
    await open.gate.close();
    expect(sent.map(({ answeredBy }) => answeredBy?.model)).toEqual(Array(5).fill("glm-test"));
    expect(tap.seen.bytes).toBeGreaterThan(1000);
  });

  it("holds its budget while requests race for it", async () => {
    await using folder = await makeFolder();
    const before = site.server.requests.length;
    const budget = { maxEscalations: 23 };
    const deep = endpointAt(site.server.url);
    const { gate, infer } = await openGate(engine, folder.path, { ...strict, budget }, { deep, prompts });
    const results = (await Promise.all([infer(many), infer(many), infer(many), infer(many)])).flat();
    await gate.close();
    expect(results).toHaveLength(4 * many.length);
    expect(results.filter(({ gate }) => gate?.route === "deep")).toHaveLength(23);
    // What else was asked is what calibrates the endpoint's scores, without any input.
    const asked = site.server.requests.slice(before).filter(({ prompt }) => prompt.includes("编号"));
    expect(asked).toHaveLength(23);
  });

  it("gives edge answers while the endpoint is gone", async () => {
    await using folder = await makeFolder();
    const deep = endpointAt("http://127.0.0.1:9/v1");
    const { gate, infer } = await openGate(engine, folder.path, strict, { deep, prompts });
    const results = [...(await infer(many)), ...(await infer(many))];
    await gate.close();
    expect(results.filter(({ output }) => output === undefined)).toEqual([]);
    expect(results[0]?.gate).toMatchObject({ route: "edge", rule: "DeepFailed" });
    expect(results.at(-1)?.gate).toMatchObject({ route: "edge", rule: "LinkDown" });
    expect(new Set(results.map(({ answeredBy }) => answeredBy?.model))).toEqual(
      new Set(["zh-sentiment-tiny"]),
    );
  });
});

describe("a gate that is killed", () => {
  it("knows what it learned and spent, and its log replays", async () => {
    await using folder = await makeFolder();
    const child = fork(path.join(import.meta.dirname, "gate-process.ts"), [folder.path], {
      stdio: ["ignore", "pipe", "inherit", "ipc"],
    });
    let escalated = 0;
    if (child.stdout === null) throw new Error("the process has no stdout");
    for await (const line of createInterface({ input: child.stdout })) {
      if (line === "zh-sentiment" && ++escalated === 100) break;
    }
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    const read = async (part: string) => {
      const [name = ""] = (await readdir(path.join(folder.path, "gate", part))).filter((file) =>
        file.endsWith(".json"),
      );
      return JSON.parse(await readFile(path.join(folder.path, "gate", part, name), "utf8"));
    };
    expect((await read("learned")).outcomes).toBeGreaterThan(20);
    const { escalations } = await read("budget");
    expect(escalations).toBeGreaterThanOrEqual(escalated);
    expect(escalations).toBeLessThanOrEqual(1000);

    const { gate, infer } = await openGate(engine, folder.path, {
      auditShare: 0.5,
      budget: { maxEscalations: escalations + 3 },
    });
    const results = await infer(many);
    await gate.close();
    expect(results.filter(({ gate }) => gate?.route === "deep").length).toBeLessThanOrEqual(3);
    const content = await readFile(path.join(folder.path, "gate/decisions/task.0.jsonl"), "utf8");
    const replay = new GateReplay();
    for (const line of content.trimEnd().split("\n")) expect(replay.next(JSON.parse(line))).toBeUndefined();
    expect(replay.decisions).toBeGreaterThan(escalated);
  });
});
