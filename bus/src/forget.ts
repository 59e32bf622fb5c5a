/** The answer to `ingest.forget`: empty when done, else one header with the code of the error. */
import { AutoglmError, ERROR_FAMILIES, type ErrorCode, toAutoglmError } from "@autoglm/api";
import { headers, type Msg, type MsgHdrs } from "@nats-io/nats-core";

const HEADER_ERROR = "Aglm-Error";

export function forgetErrorHeaders(cause: unknown): MsgHdrs {
  const answer = headers();
  answer.set(HEADER_ERROR, toAutoglmError(cause).code);
  return answer;
}

export function errorFromForgetReply(task: string, answer: Msg): AutoglmError | undefined {
  const code = answer.headers?.get(HEADER_ERROR);
  if (!code) return undefined;
  return new AutoglmError(
    isErrorCode(code) ? code : "Internal",
    `the ingester could not forget task ${task}: ${code}`,
    {
      details: { task },
    },
  );
}

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERROR_FAMILIES, code);
