import { AutoglmError } from "@autoglm/api";
import type { PipelineItem, PipelineResult } from "../pipelines/pipeline.ts";
import type { InferenceChild } from "./child.ts";
import { packTensors, unpackTensors } from "./packing.ts";
import type { QueuedItem } from "./queued-item.ts";

/** One run of a process: its message, its tokens on the way, and its results in the order of the items. */
export async function runItems(
  child: InferenceChild,
  batch: readonly QueuedItem[],
  silenceMs: number,
): Promise<readonly PipelineResult[]> {
  for (const { streamed } of batch) streamed?.begin();
  const onToken = (index: number, text: string) => batch[index] && stream(batch[index], text);
  const tensors: (readonly NonNullable<PipelineItem["tensors"]>[number][])[] = [];
  for (const { item } of batch)
    if (item.tensors !== undefined && item.type === "tensor") tensors.push(item.tensors);
  const message =
    tensors.length === batch.length
      ? ({ kind: "runTensors", packed: packTensors(tensors) } as const)
      : ({
          kind: "run",
          items: batch.map(({ item }) => item),
          wantsTokens: batch.some(({ owner }) => owner.onToken !== undefined),
        } as const);
  const isOver = () => batch.every(({ owner }) => owner.over);
  const answer = await child.call<"done" | "doneTensors">(message, silenceMs, { onToken, isOver });
  if (answer.kind === "done") return answer.results;
  return unpackTensors(answer.packed).map((outputs) => ({
    output: { type: "tensor", outputs: [], scoreSource: "none" },
    tensors: outputs,
  }));
}

function stream({ owner, streamed }: QueuedItem, text: string): void {
  if (owner.over) return;
  const fresh = streamed?.next(text);
  if (fresh === undefined)
    owner.fail(new AutoglmError("InferenceFailed", "the answer could not be continued where it broke off"));
  else if (fresh !== "" || text === "") owner.onToken?.(fresh);
}
