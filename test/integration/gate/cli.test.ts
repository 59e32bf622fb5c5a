import { appendFile, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createEngine, type Engine } from "../../../edge-agent/src/engine/index.ts";
import { runCliAlone as cli } from "../../support/cli.ts";
import { LARGE, makeFolder, openGate, PRE_GATE, REVIEWS, silent, SMALL } from "./pair.ts";

const gold = path.join(import.meta.dirname, "fixtures/gold.jsonl");

describe("autoglm gate eval", () => {
  const models = ["--edge", SMALL, "--deep", LARGE, "--gate", PRE_GATE];

  it("prints accuracy against escalation beside random and oracle, over ten halves, and draws it", async () => {
    await using folder = await makeFolder();
    const chart = path.join(folder.path, "gate.svg");
    const { exitCode, stdout } = await cli("gate", "eval", "--gold", gold, ...models, "--chart", chart);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^10 trials, 1200 test rows in all/m);
    expect(stdout).toMatch(
      /^Both:\nSHARE +ESCALATED +ACCURACY +RANDOM +ORACLE +ABOVE RANDOM +GAP RECOVERED$/m,
    );
    expect(stdout.match(/^50 % .*$/gm)).toHaveLength(2);
    expect(await readFile(chart, "utf8")).toMatch(/^<svg .*<\/svg>\n$/s);
  });

  it("gives the same as JSON, with intervals, and never escalates more than the share", async () => {
    const { stdout } = await cli("gate", "eval", "--gold", gold, ...models, "--mode", "Both", "-o", "json");
    const { modes, trials } = JSON.parse(stdout);
    expect(trials).toBe(10);
    expect(modes.Both.gap.mean).toBeGreaterThan(0);
    for (const { share, escalated, accuracy, oracle } of modes.Both.points) {
      expect(escalated.high).toBeLessThanOrEqual(share + 0.01);
      expect(accuracy.low).toBeLessThanOrEqual(accuracy.mean);
      expect(accuracy.mean).toBeLessThanOrEqual(oracle.mean);
    }
  });

  it("names what is missing", async () => {
    const { exitCode, stderr } = await cli("gate", "eval", "--gold", gold);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/edge holds no model\.onnx\nhint: /);
  });
});

describe("autoglm gate replay", () => {
  let onnx: Engine;
  beforeAll(() => {
    onnx = createEngine({ threads: 2, memoryBudgetBytes: 2 ** 31, log: silent });
  });
  afterAll(() => onnx.close());

  async function recordedLog(folder: string): Promise<string> {
    let draws = 0;
    // Two of five are audited, always the same ones: chance would now and then leave no confident answer.
    const random = () => (draws++ % 5) / 5;
    const { gate, infer } = await openGate(onnx, folder, { auditShare: 0.4, minConfidence: 0.8 }, { random });
    await infer(REVIEWS);
    await infer(REVIEWS);
    await gate.close();
    return path.join(folder, "gate/decisions/task.0.jsonl");
  }

  it("reproduces every decision of a gate, also while a line is being written", async () => {
    await using folder = await makeFolder();
    const log = await recordedLog(folder.path);
    const { exitCode, stdout } = await cli("gate", "replay", log);
    expect(stdout).toMatch(/^\d+ decisions reproduced, \d+ outcomes learned again\n$/);
    expect(exitCode).toBe(0);
    await appendFile(log, '{"kind":"decis');
    expect((await cli("gate", "replay", log)).stdout).toBe(stdout);
  });

  it("ends with 1 at a decision that comes out differently, and names it", async () => {
    await using folder = await makeFolder();
    const log = await recordedLog(folder.path);
    const lines = (await readFile(log, "utf8")).split("\n");
    const forged = lines.findIndex((line) => line.includes('"rule":"Confident"'));
    lines[forged] = lines[forged]!.replace('"rule":"Confident"', '"rule":"LowConfidence"');
    await writeFile(log, lines.join("\n"));
    const { exitCode, stdout } = await cli("gate", "replay", log);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(
      new RegExp(
        `^line ${forged + 1}: the rule of item \\d+ was "LowConfidence", and replayed is "Confident"\\n$`,
      ),
    );
    const { stdout: json } = await cli("gate", "replay", log, "-o", "json");
    expect(JSON.parse(json).difference).toMatchObject({
      line: forged + 1,
      what: "rule",
      replayed: "Confident",
    });
  });

  it("takes nothing else for a log", async () => {
    expect((await cli("gate", "replay", gold)).stdout).toContain("line 1: the record was");
    expect((await cli("gate", "replay", "/none.jsonl")).exitCode).toBe(2);
  });
});
