/** Links of Markdown files, and which of them lead nowhere. Code is left out; hosts are not asked. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const FENCED_CODE = /^ {0,3}(`{3,}|~{3,})[^\n]*\n[\s\S]*?^ {0,3}\1[`~]*\s*$/gm;
const INLINE_CODE = /(`+)[^`\n]+?\1(?!`)/g;
const LINK = /\]\(\s*<?([^\s()<>]+(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+"[^"]*")?\s*\)/g;
const HEADING = /^ {0,3}#{1,6}\s+(.+?)\s*#*\s*$/gm;
const HAS_SCHEME = /^[a-z][a-z0-9+.-]*:/i;

/** Targets of the links to files and headings, as they are written. */
export function relativeLinks(markdown: string): readonly string[] {
  const text = markdown.replaceAll(FENCED_CODE, "").replaceAll(INLINE_CODE, "``");
  return [...text.matchAll(LINK)].flatMap(([, target]) =>
    target === undefined || HAS_SCHEME.test(target) ? [] : [target],
  );
}

/** Names under which GitHub makes the headings of a file reachable; a repeated one is counted from 1. */
export function headingAnchors(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of markdown.replaceAll(FENCED_CODE, "").matchAll(HEADING)) {
    const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const slug = text.replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(/\s/g, "-");
    let anchor = slug;
    for (let count = 1; anchors.has(anchor); count += 1) anchor = `${slug}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** `file: target` for each link of `path` that has no file or no heading. Paths are relative to `root`. */
export function brokenLinks(root: string, path: string): readonly string[] {
  const markdown = readFileSync(join(root, path), "utf8");
  return relativeLinks(markdown)
    .filter((target) => !isThere(root, path, target))
    .map((target) => `${path}: ${target}`);
}

function isThere(root: string, from: string, target: string): boolean {
  const [file = "", anchor] = target.split("#", 2);
  const path = file === "" ? from : normalize(join(dirname(from), decodeURIComponent(file)));
  // A link out of the repository works on one machine alone.
  if (path.startsWith("..") || file.startsWith("/") || !existsSync(join(root, path))) return false;
  if (anchor === undefined || !path.endsWith(".md")) return true;
  return headingAnchors(readFileSync(join(root, path), "utf8")).has(anchor);
}
