import { hasErrorCode, toAutoglmError, type AutoglmError } from "@autoglm/api";
import type { Engine } from "../engine/index.ts";
import type { PipelineItem, PipelineResult } from "../pipelines/pipeline.ts";
import type { Exchange } from "./exchange.ts";
import type { ServedEntry } from "./model-directory.ts";

export interface AnswerOptions {
  readonly deadline: number;
  readonly priority?: number | undefined;
  readonly onToken?: ((index: number, text: string) => void) | undefined;
}

export interface Answered {
  readonly result: PipelineResult;
  readonly ms: number;
}

/** Items of one request in the queue at a time: there is room for those of others. */
const MAX_OPEN_ITEMS = 256;

/**
 * Results of all items, in order. No more are queued at a time than fit beside the items of others. They are dropped from
 * the queue when the client leaves; the promise then stays open, and is collected with the exchange.
 * @throws AutoglmError whatever ended the first item that has no result
 */
export function answerItems(
  engine: Engine,
  exchange: Exchange,
  { model }: ServedEntry,
  items: readonly PipelineItem[],
  { deadline, priority, onToken }: AnswerOptions,
): Promise<readonly Answered[]> {
  return new Promise((resolve, reject) => {
    const answers: Answered[] = [];
    let submitted = 0;
    let answered = 0;
    let failed = false;
    const fail = (error: AutoglmError) => {
      failed = true;
      reject(error);
    };
    const submit = (item: PipelineItem, index: number) =>
      engine.submit({
        model,
        item,
        priority,
        deadline,
        owner: {
          get over() {
            return failed || exchange.over;
          },
          settle(result, ms) {
            answers[index] = { result, ms };
            if (++answered === items.length) resolve(answers);
            else submitMore();
          },
          fail,
          onToken: onToken === undefined ? undefined : (text) => onToken(index, text),
        },
      });
    const submitMore = () => {
      try {
        while (submitted - answered < MAX_OPEN_ITEMS) {
          const item = items[submitted];
          if (failed || item === undefined) return;
          submit(item, submitted);
          submitted++;
        }
      } catch (error) {
        // The queue is full, of its own items among others: the rest follows when one of them is answered.
        if (submitted > answered && hasErrorCode(error, "QueueFull")) return;
        fail(toAutoglmError(error));
      }
    };
    submitMore();
  });
}
