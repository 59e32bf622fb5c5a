import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { brokenLinks, headingAnchors, relativeLinks } from "./links.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const MADE_ELSEWHERE = new Set(["node_modules", "dist", ".autoglm", ".git"]);

it("leaves no link of any Markdown file that leads nowhere", () => {
  const files = globSync("**/*.md", { cwd: ROOT, exclude: (path) => MADE_ELSEWHERE.has(path) });
  expect(files).toEqual(expect.arrayContaining(["README.md", "docs/architecture.md", "docs/adr/README.md"]));
  expect(files.flatMap((path) => brokenLinks(ROOT, path))).toEqual([]);
});

it("lists every decision in the table of decisions", () => {
  const listed = relativeLinks(readFileSync(join(ROOT, "docs/adr/README.md"), "utf8"));
  expect(listed).toEqual(globSync("[0-9]*.md", { cwd: join(ROOT, "docs/adr") }).sort());
});

it("finds files, folders and headings that are missing, and links that leave the repository", () => {
  const root = mkdtempSync(join(tmpdir(), "autoglm-links-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, "docs"));
  writeFileSync(join(root, "README.md"), "# One two\n");
  const missing = ["gone.md", "../README.md#three", "#four", "../../else.md", "/README.md"];
  const present = ["../README.md#one-two", "../docs", "#here", "https://example.com/gone.md"];
  const links = [...present, ...missing].map((target) => `[a](${target})`);
  writeFileSync(join(root, "docs/page.md"), `## Here\n${links.join("\n")}\n`);
  expect(brokenLinks(root, "docs/page.md")).toEqual(missing.map((target) => `docs/page.md: ${target}`));
});

it("takes nothing in code for a link or a heading", () => {
  const text = "# A `b` (c)\n`[x](y.md)` [z](z.md)\n```sh\n# no heading\n[q](q.md)\n```\n# A b c\n";
  expect(relativeLinks(text)).toEqual(["z.md"]);
  expect([...headingAnchors(text)]).toEqual(["a-b-c", "a-b-c-1"]);
});
