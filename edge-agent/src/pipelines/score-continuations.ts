import type { KvDecoderGraph, StepLogits } from "./kv-decoder-graph.ts";

export interface ContinuationScore {
  /** Sum of the log-probabilities of its tokens, each after the prompt and those before it. */
  readonly logprob: number;
  readonly tokens: number;
}

/**
 * The prompt runs once, on its own; a continuation of one token is in its logits already, each longer one is one more run
 * of its tokens but the last, over the prompt's keys and values where they are.
 */
export async function scoreContinuations(
  graph: KvDecoderGraph,
  vocabSize: number,
  promptIds: readonly number[],
  continuations: readonly (readonly number[])[],
  onProgress: () => void,
): Promise<readonly ContinuationScore[]> {
  const { cache, ...after } = await graph.prefillLong(promptIds, onProgress);
  const scores: ContinuationScore[] = [];
  for (const ids of continuations) {
    onProgress();
    let logprob = ids.length === 0 ? 0 : logprobAt(after, vocabSize, 0, ids[0] ?? 0);
    if (ids.length > 1) {
      const following = await graph.peek(cache, ids.slice(0, -1));
      for (const [index, id] of ids.slice(1).entries()) logprob += logprobAt(following, vocabSize, index, id);
    }
    scores.push({ logprob, tokens: ids.length });
  }
  return scores;
}

function logprobAt({ logits, normalizers }: StepLogits, vocabSize: number, at: number, id: number): number {
  return (logits[at * vocabSize + id] ?? 0) - (normalizers[at] ?? 0);
}
