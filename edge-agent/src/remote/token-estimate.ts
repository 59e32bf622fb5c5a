import type { ChatMessage } from "../pipelines/pipeline.ts";

/** Role, markers and line ends of a message. */
const TOKENS_PER_MESSAGE = 8;
/** Vocabularies of this size have about 4 letters to a token of English; 3 leaves room for names and numbers. */
const LETTERS_PER_TOKEN = 3;

/**
 * Tokens of a prompt where the tokenizer is not at hand: one for each character outside ASCII, which byte-level
 * vocabularies rarely exceed for Chinese, and one for three others. Too high rather than too low.
 */
export function estimateTokens(messages: readonly ChatMessage[]): number {
  let tokens = 0;
  for (const { content } of messages) {
    const others = content.match(/\P{ASCII}/gu)?.length ?? 0;
    tokens += TOKENS_PER_MESSAGE + others + Math.ceil((content.length - others) / LETTERS_PER_TOKEN);
  }
  return tokens;
}
