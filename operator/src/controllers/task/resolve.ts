/** What a task asks for, made definite: its type, its model, the variants in question, the tier. Pure. */
import {
  canonicalTaskType,
  parseQuantityBytes,
  TASK_TYPES,
  type AutoGLMModel,
  type AutoGLMTask,
  type TaskType,
} from "@autoglm/api";
import { chooseVariants, keyNamesOf, languageOf, recogniseTaskType, type TextLanguage } from "@autoglm/core";
import {
  namesOf,
  refused,
  type DeepModel,
  type Refused,
  type Resolution,
  type Resolved,
} from "./resolution.ts";
import {
  defaultModel,
  keyMissing,
  resolveDeepModel,
  resolveNamedModel,
  type ChosenModel,
  type ModelFacts,
} from "./resolve-model.ts";
import { resolvePrompts, typeOfPrompt, type PromptFacts } from "./resolve-prompt.ts";

/** Most bytes of an input that travels over the bus; a larger one is a file on the node. */
export const MAX_BUS_INPUT_BYTES = 1.5 * 2 ** 20;

/** The ConfigMap that a task names, as far as it could be read. */
export type InputDocument =
  | { readonly state: "none" }
  | { readonly state: "noConfigMap" }
  | { readonly state: "noKey"; readonly keys: readonly string[] }
  | { readonly state: "present"; readonly text: string };

export interface ResolveFacts extends ModelFacts, PromptFacts {
  readonly task: AutoGLMTask;
  readonly document: InputDocument;
}

/** The key of a ConfigMap that holds the input: the named one, or the only one. */
export function pickDocument(
  content: Readonly<Record<string, string>> | undefined,
  key: string | undefined,
): InputDocument {
  if (content === undefined) return { state: "noConfigMap" };
  const keys = Object.keys(content).sort();
  const picked = key ?? (keys.length === 1 ? keys[0] : undefined);
  const text = picked === undefined ? undefined : content[picked];
  return text === undefined ? { state: "noKey", keys } : { state: "present", text };
}

export function resolveTask(facts: ResolveFacts): Resolution {
  return refuseInput(facts) ?? resolveType(facts);
}

function refuseInput({ task, document }: ResolveFacts): Refused | undefined {
  const { name = "", key } = task.spec.input.configMapRef ?? {};
  const namespace = task.metadata.namespace ?? "default";
  if (document.state === "noConfigMap") {
    return refused("ConfigMapNotFound", `there is no ConfigMap ${namespace}/${name}`, {
      hint: `kubectl create configmap ${name} -n ${namespace} --from-file=FILE`,
    });
  }
  if (document.state === "noKey") {
    const keys = document.keys.join(", ") || "none";
    const message =
      key === undefined
        ? `ConfigMap ${name} has ${document.keys.length} keys (${keys}), and the task names none`
        : `ConfigMap ${name} has no key ${key}; it has: ${keys}`;
    return refused("ConfigMapKeyNotFound", message, {
      hint: `give ConfigMap ${name} that key, or create the task again with input.configMapRef.key`,
    });
  }
  const { inline } = task.spec.input;
  const isFinal = inline !== undefined;
  const texts = inline ?? (document.state === "present" ? [document.text] : undefined);
  if (texts === undefined) return undefined;
  if (texts.every((text) => text.trim() === "")) {
    const hint = isFinal
      ? "create the task again with at least one text"
      : "put at least one text into the ConfigMap";
    return refused("InputEmpty", "the input has no text", { hint, isFinal });
  }
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (bytes <= MAX_BUS_INPUT_BYTES) return undefined;
  return refused(
    "InputTooLarge",
    `the input has ${bytes} bytes, at most ${MAX_BUS_INPUT_BYTES} go this way`,
    {
      hint: "put it into a file below the data root of a node and create the task with input.file",
      isFinal,
    },
  );
}

function resolveType(facts: ResolveFacts): Resolution {
  const { task } = facts;
  const named = task.spec.model;
  const found = named === undefined ? undefined : resolveNamedModel(facts, named);
  if (found !== undefined && "isResolved" in found) return found;
  const type = canonicalTaskType(task.spec.type);
  if (type !== "auto") return resolveModel(facts, type, "Spec", found);
  const serves = (found?.asked ?? found?.model)?.spec.taskTypes;
  const [only, ...others] = serves ?? [];
  if (only !== undefined && others.length === 0) return resolveModel(facts, only, "Model", found);
  const prompted = typeOfPrompt(facts);
  if (prompted !== undefined) return resolveModel(facts, prompted, "Prompt", found);
  const recognised = recogniseTaskType(sampleOf(facts));
  if (recognised.isDecided && serves?.includes(recognised.type) !== false) {
    return resolveModel(facts, recognised.type, "Input", found);
  }
  const candidates = recognised.isDecided ? [recognised.type] : recognised.candidates;
  const message = `type auto: neither the model nor the input decides on one type; the input could be ${candidates.join(" or ")}`;
  return refused("TypeNotResolved", message, {
    hint: `create the task again with a type (${candidates.join(", ")}; all: ${TASK_TYPES.join(", ")}), or with a model that serves one type`,
    model: named,
    isFinal: named === undefined && task.spec.input.inline !== undefined,
  });
}

function resolveModel(
  facts: ResolveFacts,
  type: TaskType,
  typeSource: Resolved["typeSource"],
  named: ChosenModel | undefined,
): Resolution {
  const { task, models } = facts;
  const language = languageOfInput(facts);
  const model = named?.model ?? defaultModel(facts, type, language);
  if (model === undefined) {
    return refused("ModelNotFound", `no AutoGLMModel that can be used here serves ${type}`, {
      hint: "kubectl apply -f a model that does; kubectl get autoglmmodels lists those there are",
      type,
      typeSource,
    });
  }
  const { name } = model.metadata;
  const known = { type, typeSource, model: name };
  if (!model.spec.taskTypes.includes(type)) {
    if (named?.asked?.spec.taskTypes.includes(type) === true)
      return {
        ...keyMissing(named.asked, `, and its stand-in ${name} does not do ${type}`),
        type,
        typeSource,
      };
    const serving = models.filter(({ spec }) => spec.taskTypes.includes(type));
    const types = model.spec.taskTypes.join(", ");
    return refused("ModelDoesNotServeType", `model ${name} serves ${types}, not ${type}`, {
      hint:
        serving.length > 0
          ? `create the task again with a model that does: ${namesOf(serving)}`
          : "create the task again with another type",
      ...known,
    });
  }
  const { gating } = task.spec;
  const deep = gating === undefined ? undefined : resolveDeepModel(facts, gating.model, type);
  if (deep !== undefined && "isResolved" in deep) return { ...deep, ...known };
  const prompts = resolvePrompts(facts, { type, language, model, deep: deep?.model });
  if ("isResolved" in prompts) return { ...prompts, ...known };
  const outside = refuseOutside(task, model, deep);
  return outside === undefined
    ? resolveVariants(facts, {
        ...known,
        isResolved: true,
        standInFor: named?.standInFor,
        model,
        ...prompts,
        deep,
      })
    : { ...outside, ...known };
}

/** SiteOnly work asks nobody outside the node. */
function refuseOutside(
  { spec }: AutoGLMTask,
  model: AutoGLMModel,
  deep: DeepModel | undefined,
): Refused | undefined {
  if (spec.dataClass !== "SiteOnly") return undefined;
  const isLocal = model.spec.variants.some(({ runtime }) => runtime === "onnx");
  if (isLocal && deep?.variant.runtime !== "openai") return undefined;
  const { name } = (isLocal ? deep?.model : undefined)?.metadata ?? model.metadata;
  return refused("SiteOnlyForbidsEndpoint", `dataClass SiteOnly: ${name} is an endpoint outside the node`, {
    hint: "create the task again with a model that has files, or with dataClass Anywhere",
  });
}

function resolveVariants(
  { task }: ResolveFacts,
  resolved: Omit<Resolved, "tier" | "candidates">,
): Resolution {
  const { type, typeSource, model, deep } = resolved;
  const { tier, memory } = task.spec.placement;
  const isSiteOnly = task.spec.dataClass === "SiteOnly";
  const choice = chooseVariants({
    type,
    variants: model.spec.variants.filter(({ runtime }) => !isSiteOnly || runtime === "onnx"),
    tier,
    memory,
    beside: deep && {
      bytes: parseQuantityBytes(deep.variant.memory),
      keyNames: keyNamesOf(deep.variant),
    },
  });
  if (choice.isPossible) return { ...resolved, tier: choice.tier, candidates: choice.candidates };
  const patch = JSON.stringify({ spec: { placement: { tier: choice.smallestTier } } });
  const { name } = model.metadata;
  return refused(
    "NoVariantFitsTier",
    `no variant of ${name} fits tier ${choice.tier}; ${choice.smallestTier} would do`,
    {
      hint: `kubectl patch agt/${task.metadata.name} -n ${task.metadata.namespace} --type merge -p '${patch}'`,
      type,
      typeSource,
      model: name,
      tier: choice.tier,
    },
  );
}

/** Of the input as far as it is at hand. */
export function languageOfInput(facts: ResolveFacts): TextLanguage | undefined {
  return languageOf(sampleOf(facts));
}

/** Texts to recognise a type by; from a document, its lines, or its strings where it looks like JSON. */
function sampleOf({ task, document }: ResolveFacts): readonly string[] {
  if (task.spec.input.inline !== undefined) return task.spec.input.inline;
  if (document.state !== "present") return [];
  const head = document.text.slice(0, 32_768).trim();
  if (!/^[[{]/.test(head)) return head.split(/\r?\n/);
  const strings = /"((?:[^"\\]|\\.){4,})"(?!\s*:)/g;
  return [...head.matchAll(strings)].map(([, text = ""]) => text);
}
