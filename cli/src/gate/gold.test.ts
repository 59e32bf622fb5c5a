import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readGold, splitsOf, type GoldRow } from "./gold.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "gold-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(...lines: string[]) {
  const file = path.join(folder, "gold.jsonl");
  await writeFile(file, lines.join("\n"));
  return readGold(file);
}
const row = (text: string, more = {}) => JSON.stringify({ text, label: "good", ...more });

describe("readGold", () => {
  it("leaves out what says an earlier row again in other dress", async () => {
    const { rows, duplicates } = await read(
      row("很好，推荐！"),
      row("很好 推荐"),
      row("不好"),
      "",
      row("！！"),
      row("？"),
    );
    expect(rows.map(({ text }) => text)).toEqual(["很好，推荐！", "不好", "！！", "？"]);
    expect(duplicates).toBe(1);
  });

  it.each([["no JSON"], ['{"text": "x"}'], [row("x", { split: "train" })]])(
    "names the line of %s",
    async (bad) => {
      await expect(read(row("a"), bad)).rejects.toMatchObject({
        code: "InvalidOption",
        message: "gold.jsonl, line 2, is no gold row",
      });
    },
  );

  it("names a file that is not there", async () => {
    await expect(readGold(path.join(folder, "none"))).rejects.toMatchObject({ code: "InvalidOption" });
  });
});

describe("splitsOf", () => {
  const plain: readonly (Pick<GoldRow, "split"> & { readonly index: number })[] = Array.from(
    { length: 11 },
    (_, index) => ({ index }),
  );

  it("halves rows anew for each seed, the same way each time", () => {
    const trials = splitsOf(plain, 3, "gold.jsonl");
    expect(trials).toHaveLength(3);
    for (const { calibration, test } of trials) {
      expect([calibration.length, test.length]).toEqual([5, 6]);
      expect(new Set([...calibration, ...test]).size).toBe(11);
    }
    expect(trials[0]).not.toEqual(trials[1]);
    expect(splitsOf(plain, 3, "gold.jsonl")).toEqual(trials);
  });

  it("keeps the split that rows name, as one trial", () => {
    const rows = (["calibration", "test", "test"] as const).map((split) => ({ split }));
    expect(splitsOf(rows, 10, "gold.jsonl").map(({ test }) => test.length)).toEqual([2]);
  });

  it("refuses a file whose rows are of two minds, and one of a single row", () => {
    expect(() => splitsOf([{ split: "test" }, {}], 1, "gold.jsonl")).toThrow("1 of 2 rows name no split");
    expect(() => splitsOf([{}], 1, "gold.jsonl")).toThrow("so few");
  });
});
