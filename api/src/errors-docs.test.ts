import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ERROR_FAMILIES, type ErrorCode } from "./errors.ts";
import { TASK_REASONS } from "./reasons.ts";

const DOCS = readFileSync(join(import.meta.dirname, "../../docs/errors.md"), "utf8");
const [, codesPart = "", reasonsPart = ""] = DOCS.split(/^## /m);

/** Heading → the text below it. */
const SECTIONS = new Map(
  codesPart
    .split(/^### /m)
    .slice(1)
    .map((section): [string, string] => {
      const end = section.indexOf("\n");
      return [section.slice(0, end), section.slice(end + 1)];
    }),
);
const CODES = Object.keys(ERROR_FAMILIES) as readonly ErrorCode[];

describe("docs/errors.md", () => {
  it("has one section for each code, in the order of the code", () => {
    expect([...SECTIONS.keys()]).toEqual(CODES);
  });

  it.each(CODES)("says family, retry, meaning and mend of %s", (code) => {
    const [head, ...body] = SECTIONS.get(code)?.trim().split("\n") ?? [];
    expect(head).toMatch(/^Family: `\w+`\. Retry: .+\.$/);
    expect(head).toContain(`\`${ERROR_FAMILIES[code]}\``);
    expect(body[0]).toMatch(/^.{15,}/);
    expect(body.at(-1)).toMatch(/^\*\*Mend:\*\* .+\.$/);
  });

  it("has one row for each reason of a task, in the order of the code", () => {
    const rows = Array.from(reasonsPart.matchAll(/^\| `(\w+)` \|/gm), ([, reason]) => reason);
    expect(rows).toEqual([...TASK_REASONS]);
  });

  it("refers a reason that is also a code to its section", () => {
    const referred = Array.from(reasonsPart.matchAll(/^\| `(\w+)` \| \[see above\]\(#(\w+)\)/gm));
    expect(referred.map(([, reason]) => reason)).toEqual(
      TASK_REASONS.filter((reason) => reason in ERROR_FAMILIES),
    );
    for (const [, reason, anchor] of referred) expect(anchor).toBe(reason?.toLowerCase());
  });
});
