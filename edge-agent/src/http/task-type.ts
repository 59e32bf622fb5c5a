import { canonicalTaskType, SPEC_TASK_TYPES, type TaskType } from "@autoglm/api";
import type { Engine } from "../engine/index.ts";
import type { Exchange } from "./exchange.ts";
import type { ServedEntry } from "./model-directory.ts";
import { HttpProblem } from "./problems.ts";

/**
 * The type that is asked for, or the only one that the model does; the model is loaded to know.
 * @throws HttpProblem 400, AutoglmError of loading
 */
export async function taskTypeOf(
  engine: Engine,
  { model }: ServedEntry,
  asked: unknown,
  exchange: Exchange,
): Promise<TaskType> {
  if (asked !== undefined && asked !== "auto") {
    const known = SPEC_TASK_TYPES.find((type) => type === asked);
    const type = known === undefined ? "auto" : canonicalTaskType(known);
    if (type === "auto")
      throw new HttpProblem(400, `type: one of ${SPEC_TASK_TYPES.join(", ")} is expected`, "type");
    return type;
  }
  let types = engine.stateOf(model)?.taskTypes;
  if (types === undefined) {
    const stop = new AbortController();
    exchange.response.once("close", () => stop.abort());
    await engine.load(model, stop.signal);
    types = engine.stateOf(model)?.taskTypes;
  }
  const [only, ...others] = types ?? [];
  if (only !== undefined && others.length === 0) return only;
  throw new HttpProblem(
    400,
    `type is missing: model "${model.name}" does ${(types ?? []).join(", ")}`,
    "type",
  );
}
