import { AutoglmError } from "@autoglm/api";
import { firstNames } from "@autoglm/core";
import type { PipelineItem } from "../pipelines/pipeline.ts";
import type { Serving } from "./protocol.ts";

/**
 * Why a loaded model can't do what is asked of it, whatever the text is; undefined when it can. Pure.
 *
 * Labels that are the model's own are no contradiction: they may be meant for the model behind a gate, or for the one that
 * this one stands in for.
 */
export function refusalOf(
  model: string,
  { taskTypes, labels }: Pick<Serving, "taskTypes" | "labels">,
  { type, parameters: { candidateLabels } }: Pick<PipelineItem, "type" | "parameters">,
): AutoglmError | undefined {
  if (!taskTypes.includes(type)) {
    const does = taskTypes.join(", ");
    return new AutoglmError("ModelDoesNotServeType", `model ${model} does not do ${type}: it does ${does}`);
  }
  if (labels === undefined || candidateLabels === undefined) return undefined;
  if (new Set(labels).symmetricDifference(new Set(candidateLabels)).size === 0) return undefined;
  return new AutoglmError(
    "ParametersInvalid",
    `parameters.candidateLabels: model ${model} can only answer ${firstNames(labels)}; leave them out, or ask with type zero-shot-classification, or ask a model that generates text`,
  );
}
