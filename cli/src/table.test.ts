import stringWidth from "string-width";
import { expect, it } from "vitest";
import { renderColumns, renderServerTable, type ServerTable } from "./table.ts";

it("lines columns up where characters are two cells wide, or none", () => {
  const text = renderColumns([
    ["NAME", "MODEL", "AGE"],
    ["评论分析", "zh-sentiment", "5m"],
    ["e\u0301tude", "👨‍👩‍👧", "1h"],
  ]);
  const lines = text.trimEnd().split("\n");
  const startsOfLast = lines.map((line) => stringWidth(line) - stringWidth(line.split(/ {3,}/).at(-1) ?? ""));
  expect(new Set(startsOfLast).size).toBe(1);
  expect(lines.every((line) => line === line.trimEnd())).toBe(true);
});

it("shows what would control the terminal, and does not do it", () => {
  expect(renderColumns([["a", "on node x: \u001b[2Jall\nis well\u009b"]])).toBe(
    "a   on node x: \\u001b[2Jall\\nis well\\u009b\n",
  );
});

const table: ServerTable = {
  kind: "Table",
  columnDefinitions: [
    { name: "Name", priority: 0 },
    { name: "Node", priority: 0 },
    { name: "Hint", priority: 1 },
  ],
  rows: [
    { cells: ["a", null, "first\nsecond"], object: { metadata: { name: "a", namespace: "n1" } } },
    { cells: ["b", 7, undefined], object: { metadata: { name: "b", namespace: "n2" } } },
  ],
};

it("shows the columns of kubectl, the further ones when wide, the namespace when asked", () => {
  expect(renderServerTable(table, { isWide: false, hasNamespace: false })).toBe("NAME   NODE\na\nb      7\n");
  expect(renderServerTable(table, { isWide: true, hasNamespace: true })).toBe(
    "NAMESPACE   NAME   NODE   HINT\nn1          a             first\nn2          b      7\n",
  );
  expect(renderServerTable({ ...table, rows: null }, { isWide: false, hasNamespace: false })).toBe(
    "NAME   NODE\n",
  );
});
