/** The first command of the README. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { execa } from "execa";
import { expect, it } from "vitest";
import { processesWith } from "../support/installation.ts";

it("runs the examples without a cluster, prints what ran where and why, and leaves nothing", async () => {
  const { exitCode, stdout, stderr } = await execa("make", ["demo"], { reject: false });
  expect(exitCode, stderr).toBe(0);
  const table = stdout.slice(stdout.indexOf("What ran where"), stdout.indexOf("Why there"));
  for (const [task, node] of [
    ["auto-sentiment", "cloud-8g"],
    ["generate-answers", "edge-8g"],
    ["ner-news", "edge-6g"],
    ["sentiment-reviews", "edge-4g"],
  ]) {
    expect(stdout).toMatch(new RegExp(`${task} +Completed on ${node}`));
    expect(table).toMatch(new RegExp(`${task}.*${node}`));
  }
  expect(stdout.slice(stdout.indexOf("Results"))).toContain("江泽民");
  expect(existsSync(".autoglm/demo")).toBe(false);
  expect(processesWith(resolve(".autoglm/demo"))).toEqual([]);
});
