import type { AutoglmError } from "@autoglm/api";
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

/**
 * Results of all items, in order. They are dropped from the queue when the client leaves; the promise then stays open,
 * and is collected with the exchange.
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
    let open = items.length;
    let failed = false;
    const fail = (error: AutoglmError) => {
      failed = true;
      reject(error);
    };
    for (const [index, item] of items.entries()) {
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
            if (--open === 0) resolve(answers);
          },
          fail,
          onToken: onToken === undefined ? undefined : (text) => onToken(index, text),
        },
      });
    }
  });
}
