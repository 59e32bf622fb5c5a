/**
 * A prompt that can't be used, whatever the item. Not an AutoglmError: inference processes load this, and @autoglm/api
 * brings 26 MB of schemas along. The message quotes the prompt's own words at most, never a text of the user.
 */
export class PromptProblem extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.name = "PromptProblem";
  }
}

/** The model does not take what it was asked for an item. The message quotes nothing of the text. */
export class ModelRefused extends Error {
  readonly code: "ItemInvalid" | "ItemTooLong" | "AnswerInvalid";

  constructor(code: ModelRefused["code"], message: string) {
    super(message);
    this.name = "ModelRefused";
    this.code = code;
  }
}
