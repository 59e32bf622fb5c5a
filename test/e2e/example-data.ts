import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestInstallation } from "../support/installation.ts";

const FOLDER = "examples/data";

/** Puts the files of examples/data on the nodes, and says what is in them. */
export function exampleData(site: TestInstallation) {
  for (const file of ["reviews.csv", "news.jsonl", "questions.txt", "images/cat.jpg", "images/page.png"]) {
    site.writeData(file, readFileSync(join(FOLDER, file)));
  }
  return { reviews: readReviews(), news: readNews() };
}

function readNews(): readonly string[] {
  const lines = readFileSync(join(FOLDER, "news.jsonl"), "utf8").trim().split("\n");
  // Our own file.
  return lines.map((line) => (JSON.parse(line) as { readonly text: string }).text);
}

/** jsonl of so many texts, no two alike. */
export function numberedNews(count: number): string {
  const news = readNews();
  const lines = Array.from({ length: count }, (_, item) => ({
    text: `第${item}条：${news[item % news.length]}`,
  }));
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** Text of so many lines, no two alike. */
export function numberedReviews(count: number): string {
  const reviews = readReviews();
  const lines = Array.from(
    { length: count },
    (_, item) => `${item}：${reviews[item % reviews.length]?.review}`,
  );
  return lines.join("\n");
}

/** id,review,label; a review with a comma is quoted. */
function readReviews(): readonly { readonly review: string; readonly label: string }[] {
  const [, ...lines] = readFileSync(join(FOLDER, "reviews.csv"), "utf8").trim().split("\n");
  return lines.map((line) => ({
    review: line.slice(line.indexOf(",") + 1, line.lastIndexOf(",")),
    label: line.slice(line.lastIndexOf(",") + 1).trim(),
  }));
}
