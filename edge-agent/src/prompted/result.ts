import type { ItemOutput } from "@autoglm/api";

/** What a prompted answer tells about itself, for metrics and the gate. */
export interface PromptNotes {
  /** Mass of all choices in the model's own distribution; low: the prompt was not understood. */
  readonly coverage?: number;
  /** Spans that the model named and the text does not have. */
  readonly dropped?: number;
  /** The first answer did not fit its form. */
  readonly repaired?: boolean;
  /** Only this beginning of the text was in the prompt, in UTF-16 units. */
  readonly cutTo?: number;
}

export type PromptedErrorCode = "ItemInvalid" | "ItemTooLong" | "AnswerInvalid" | "PromptInvalid";

export type PromptedResult = (
  | { readonly output: ItemOutput }
  | { readonly error: { readonly code: PromptedErrorCode; readonly message: string } }
) & { readonly notes?: PromptNotes };

export function itemError(code: PromptedErrorCode, message: string): PromptedResult {
  return { error: { code, message } };
}
