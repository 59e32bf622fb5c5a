/**
 * An error inside an inference process; the agent makes an AutoglmError of it. Not that class itself: @autoglm/api brings
 * all its schemas along, 26 MB in each process.
 */
export class PipelineFailure extends Error {
  readonly code: "ModelLoadFailed" | "InferenceFailed";
  /** Trying again changes nothing. */
  readonly final: boolean;

  constructor(
    code: PipelineFailure["code"],
    message: string,
    options: { readonly final?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = code;
    this.code = code;
    this.final = options.final ?? false;
  }
}
