import path from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { slowModel } from "./harness.ts";

const PROGRAM = path.join(import.meta.dirname, "../../../edge-agent/src/offline.ts");

async function runOffline(lines: readonly object[]) {
  const { stdout, exitCode } = await execa(process.execPath, [PROGRAM, slowModel.directory], {
    input: lines.map((line) => JSON.stringify(line)).join("\n"),
    reject: false,
  });
  return { exitCode, said: stdout.split("\n").map((line): unknown => JSON.parse(line)) };
}

test("answers come in order, and the memory of the model after them", async () => {
  const { exitCode, said } = await runOffline([{ text: "慢慢" }, { text: " " }, { text: "快" }]);
  expect(said).toMatchObject([
    { item: 0, output: { type: "text-classification" } },
    { item: 1, error: { code: "ItemInvalid" } },
    { item: 2, output: { type: "text-classification" } },
    { report: { taskTypes: ["text-classification"], itemMs: expect.any(Number) } },
  ]);
  const { report } = said[3] as { readonly report: { readonly memoryBytes: number } };
  expect(report.memoryBytes).toBeGreaterThan(10_000_000);
  expect(exitCode).toBe(0);
});

test("labels that the model does not have end it with the reason", async () => {
  const { exitCode, said } = await runOffline([{ text: "快", parameters: { candidateLabels: ["sport"] } }]);
  expect(said).toMatchObject([{ error: { code: "ParametersInvalid" } }]);
  expect(exitCode).toBe(1);
});
