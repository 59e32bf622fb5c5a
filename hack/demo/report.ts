/** What the demo prints about its tasks: where each ran and why, how long what took, and its first results. */
import { type AutoGLMTask, huggingFaceShape, type ResultPage, type ResultRecord } from "@autoglm/api";
import { clip, renderTable } from "../local/table.ts";

export interface FinishedTask {
  readonly task: AutoGLMTask;
  /** When the demo applied it, milliseconds since the epoch. */
  readonly appliedAtMs: number;
  readonly page: ResultPage;
  /** The texts themselves, where the manifest holds them. */
  readonly texts: readonly string[] | undefined;
}

const RESULTS_SHOWN = 3;

export function renderTasks(finished: readonly FinishedTask[]): string {
  const header = [
    "TASK",
    "TYPE",
    "MODEL",
    "TIER",
    "NODE",
    "QUEUED",
    "MODEL LOAD",
    "PER ITEM",
    "ITEMS",
    "STATE",
  ];
  const rows = finished.map(({ task, appliedAtMs, page }) => {
    const { status } = task;
    const placement = status?.placements?.[0];
    return [
      task.metadata.name,
      `${status?.type ?? "?"}${task.spec.type === "auto" ? ` (auto, from ${status?.typeSource?.toLowerCase() ?? "?"})` : ""}`,
      `${status?.model ?? "?"}/${status?.variant ?? "?"}`,
      status?.tier ?? "?",
      `${placement?.node ?? "?"} (${placement?.tier ?? "?"}, ${placement?.location ?? "?"})`,
      status?.placedTime === undefined
        ? "?"
        : milliseconds(Math.max(0, Date.parse(status.placedTime) - appliedAtMs)),
      milliseconds(placement?.modelLoadMs),
      milliseconds(meanMs(page)),
      status?.progress ?? "?",
      status?.reason ?? "?",
    ];
  });
  return renderTable(header, rows);
}

/** One line per task: why this node. */
export function renderReasons(finished: readonly FinishedTask[]): string {
  return finished
    .map(
      ({ task }) =>
        `${task.metadata.name}: ${task.status?.placements?.[0]?.message ?? task.status?.message ?? "?"}`,
    )
    .join("\n");
}

export function renderResults({ task, page, texts }: FinishedTask): string {
  const { accepted, failed } = page.ledger;
  const shown = page.results
    .slice(0, RESULTS_SHOWN)
    .map((record) => `  ${resultLine(record, texts?.[record.item])}`);
  const head = `${task.metadata.name}: ${accepted} results${failed > 0 ? `, ${failed} of them errors` : ""}${labelCounts(page)}`;
  return [head, ...shown].join("\n");
}

function resultLine(record: ResultRecord, text: string | undefined): string {
  const subject = text === undefined ? `#${record.item}` : clip(text, 44);
  const { output, error } = record;
  if (output === undefined) return `${subject}  ✗ ${error?.code ?? "?"}: ${error?.message ?? ""}`;
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- the examples have these types; any other is shown as JSON
  switch (output.type) {
    case "text-classification":
      return `${subject}  → ${output.labels.map(({ label, score }) => `${label} ${score?.toFixed(3) ?? "-"}`).join(", ")}`;
    case "token-classification":
      return `${subject}  → ${output.entities.map(({ word, entity_group }) => `${word}/${entity_group}`).join(" ") || "no entities"}`;
    case "text-generation":
      return `${subject}  → ${clip(output.generated_text, 100)}`;
    default:
      return `${subject}  → ${JSON.stringify(huggingFaceShape(output))}`;
  }
}

function labelCounts(page: ResultPage): string {
  const counts = new Map<string, number>();
  for (const { output } of page.results) {
    const label = output?.type === "text-classification" ? output.labels[0]?.label : undefined;
    if (label !== undefined) counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return counts.size === 0 ? "" : ` (${[...counts].map(([label, count]) => `${count} ${label}`).join(", ")})`;
}

function meanMs({ results }: ResultPage): number | undefined {
  return results.length === 0 ? undefined : results.reduce((sum, { ms }) => sum + ms, 0) / results.length;
}

function milliseconds(value: number | undefined): string {
  if (value === undefined) return "?";
  return value < 10
    ? `${value.toFixed(1)} ms`
    : value < 1000
      ? `${Math.round(value)} ms`
      : `${(value / 1000).toFixed(1)} s`;
}
