/**
 * Which model a task gets. A name is a model's own or one of its aliases, in any case: what users call a model and what an
 * endpoint calls it change faster than manifests. Pure.
 */
import type { AutoGLMModel, ModelVariant, TaskType } from "@autoglm/api";
import { compareNumbers, keyNamesOf, type TextLanguage } from "@autoglm/core";
import { namesOf, refused, type DeepModel, type Refused } from "./resolution.ts";

export interface ModelFacts {
  readonly models: readonly AutoGLMModel[];
  /** Keys for endpoints that some node holds; undefined while not every node can have said so. */
  readonly heldKeys: ReadonlySet<string> | undefined;
}

export interface ChosenModel {
  readonly model: AutoGLMModel;
  /** The name that the task gives, where another model stands in for it. */
  readonly standInFor?: string | undefined;
  /** The model of that name. */
  readonly asked?: AutoGLMModel | undefined;
}

function findModel(models: readonly AutoGLMModel[], name: string): AutoGLMModel | undefined {
  const wanted = name.toLowerCase();
  return (
    models.find(({ metadata }) => metadata.name === name) ??
    sorted(models).find(
      ({ metadata, spec }) =>
        metadata.name === wanted || spec.aliases?.some((alias) => alias.toLowerCase() === wanted) === true,
    )
  );
}

/** @returns the model of that name, or the one that stands in for it; with the reason where there is neither */
export function resolveNamedModel(facts: ModelFacts, name: string): ChosenModel | Refused {
  const { models } = facts;
  const model = findModel(models, name);
  if (model === undefined) {
    return refused("ModelNotFound", `there is no AutoGLMModel ${name}, and none has it as an alias`, {
      hint: `models there are: ${namesOf(models)}; kubectl get autoglmmodels lists them all`,
      model: name,
    });
  }
  if (usableVariants(facts, model).length > 0) return { model };
  const { standIn } = model.spec;
  const other = standIn === undefined ? undefined : findModel(models, standIn);
  if (other !== undefined && usableVariants(facts, other).length > 0) {
    return { model: other, standInFor: name, asked: model };
  }
  return keyMissing(model, standIn === undefined ? "" : `, and its stand-in ${standIn} is not there either`);
}

/** @param standIn why there is none, as the end of a sentence */
export function keyMissing({ metadata: { name }, spec }: AutoGLMModel, standIn: string): Refused {
  const keys = [...new Set(spec.variants.flatMap(keyNamesOf))];
  return refused(
    "EndpointKeyMissing",
    `model ${name} has no weights here, and no node holds a key for its endpoint (${keys.join(", ")})${standIn}`,
    { hint: keyHint(keys[0] ?? "NAME"), model: name },
  );
}

const keyHint = (keyName: string) =>
  `put the key on the agents: kubectl create secret generic autoglm-endpoint-keys -n autoglm-system --from-literal=${keyName}=KEY; without Kubernetes into the file ${keyName} in AUTOGLM_ENDPOINT_KEYS_DIR of an agent`;

/** What can be asked now: files, or an endpoint whose key is there. */
function usableVariants({ heldKeys }: ModelFacts, { spec }: AutoGLMModel): readonly ModelVariant[] {
  return spec.variants.filter(
    (variant) => heldKeys === undefined || keyNamesOf(variant).every((name) => heldKeys.has(name)),
  );
}

/**
 * The model for a type when the task names none: one with files before an endpoint, one for the language of the input
 * before others, then the higher preference, then the name.
 */
export function defaultModel(
  facts: ModelFacts,
  type: TaskType,
  language: TextLanguage | undefined,
): AutoGLMModel | undefined {
  const rank = ({ spec }: AutoGLMModel): readonly number[] => [
    spec.variants.some(({ runtime }) => runtime === "onnx") ? 0 : 1,
    language === undefined || spec.languages === undefined || spec.languages.includes(language) ? 0 : 1,
    -spec.preference,
  ];
  return sorted(facts.models)
    .filter((model) => model.spec.taskTypes.includes(type) && usableVariants(facts, model).length > 0)
    .sort((a, b) => compareNumbers(rank(a), rank(b)))[0];
}

/** @returns the model behind the gate; the reason where it can't be used */
export function resolveDeepModel(facts: ModelFacts, name: string, type: TaskType): DeepModel | Refused {
  const model = findModel(facts.models, name);
  if (model === undefined) {
    return refused("GateModelInvalid", `spec.gating.model: there is no AutoGLMModel ${name}`, {
      hint: `models there are: ${namesOf(facts.models)}; kubectl get autoglmmodels lists them all`,
    });
  }
  if (!model.spec.taskTypes.includes(type)) {
    const types = model.spec.taskTypes.join(", ");
    return refused("GateModelInvalid", `spec.gating.model: ${name} serves ${types}, not ${type}`, {
      hint: "create the task again with a larger model of the same task type in spec.gating.model",
    });
  }
  const variant = usableVariants(facts, model)[0] ?? model.spec.variants[0];
  return variant === undefined
    ? refused("GateModelInvalid", `spec.gating.model: ${name} has no variant`, { hint: "give it one" })
    : { model, variant };
}

const sorted = (models: readonly AutoGLMModel[]) =>
  [...models].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
