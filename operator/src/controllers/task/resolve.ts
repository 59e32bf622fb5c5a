/** What a task asks for, made definite: its type, its model, the variants in question, the tier. Pure. */
import {
  canonicalTaskType,
  TASK_TYPES,
  type AutoGLMModel,
  type AutoGLMTask,
  type TaskReason,
  type TaskStatus,
  type TaskType,
  type Tier,
} from "@autoglm/api";
import { chooseVariants, recogniseTaskType, type VariantCandidate } from "@autoglm/core";

/** Most bytes of an input that travels over the bus; a larger one is a file on the node. */
export const MAX_BUS_INPUT_BYTES = 1.5 * 2 ** 20;

/** The ConfigMap that a task names, as far as it could be read. */
export type InputDocument =
  | { readonly state: "none" }
  | { readonly state: "noConfigMap" }
  | { readonly state: "noKey"; readonly keys: readonly string[] }
  | { readonly state: "present"; readonly text: string };

export interface ResolveFacts {
  readonly task: AutoGLMTask;
  readonly models: readonly AutoGLMModel[];
  readonly document: InputDocument;
}

export interface Resolved {
  readonly isResolved: true;
  readonly type: TaskType;
  readonly typeSource: NonNullable<TaskStatus["typeSource"]>;
  readonly model: AutoGLMModel;
  readonly tier: Tier;
  /** Best first; at least one. */
  readonly candidates: readonly VariantCandidate[];
}

export interface Refused {
  readonly isResolved: false;
  readonly reason: TaskReason;
  readonly message: string;
  readonly hint: string;
  readonly type?: TaskType | undefined;
  readonly typeSource?: TaskStatus["typeSource"];
  readonly model?: string | undefined;
  readonly tier?: Tier | undefined;
  /** Nothing outside the task can mend it, and what would have to change in it can't. */
  readonly isFinal?: boolean | undefined;
}

export type Resolution = Resolved | Refused;

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
  const { task, models } = facts;
  const named = task.spec.model;
  const model = named === undefined ? undefined : models.find(({ metadata }) => metadata.name === named);
  if (named !== undefined && model === undefined) {
    return refused("ModelNotFound", `there is no AutoGLMModel ${named}`, {
      hint: `kubectl get autoglmmodels; models there are: ${names(models) || "none"}`,
      model: named,
    });
  }
  const type = canonicalTaskType(task.spec.type);
  if (type !== "auto") return resolveModel(facts, type, "Spec", model);
  const [only, ...others] = model?.spec.taskTypes ?? [];
  if (only !== undefined && others.length === 0) return resolveModel(facts, only, "Model", model);
  const recognised = recogniseTaskType(sampleOf(facts))?.type;
  if (recognised !== undefined && (model === undefined || model.spec.taskTypes.includes(recognised))) {
    return resolveModel(facts, recognised, "Input", model);
  }
  return refused("TypeNotResolved", "type auto: neither the model nor the input decides on one type", {
    hint: `create the task again with a type (${TASK_TYPES.join(", ")}), or with a model that serves one type`,
    model: named,
    isFinal: named === undefined && task.spec.input.inline !== undefined,
  });
}

function resolveModel(
  { task, models }: ResolveFacts,
  type: TaskType,
  typeSource: Resolved["typeSource"],
  named: AutoGLMModel | undefined,
): Resolution {
  const serving = models
    .filter(({ spec }) => spec.taskTypes.includes(type))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const model = named ?? serving[0];
  if (model === undefined) {
    return refused("ModelNotFound", `no AutoGLMModel serves ${type}`, {
      hint: "kubectl apply -f a model that does; kubectl get autoglmmodels lists those there are",
      type,
      typeSource,
    });
  }
  const { name } = model.metadata;
  if (!model.spec.taskTypes.includes(type)) {
    return refused(
      "ModelDoesNotServeType",
      `model ${name} serves ${model.spec.taskTypes.join(", ")}, not ${type}`,
      {
        hint: `create the task again with ${serving.length > 0 ? `model ${names(serving)}` : "another type"}`,
        type,
        typeSource,
        model: name,
      },
    );
  }
  const { tier, memory } = task.spec.placement;
  const choice = chooseVariants({ type, variants: model.spec.variants, tier, memory });
  if (choice.isPossible) {
    return { isResolved: true, type, typeSource, model, tier: choice.tier, candidates: choice.candidates };
  }
  const patch = JSON.stringify({ spec: { placement: { tier: choice.smallestTier } } });
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

/** Texts to recognise a type by; from a document, its lines, or its strings where it looks like JSON. */
function sampleOf({ task, document }: ResolveFacts): readonly string[] {
  if (task.spec.input.inline !== undefined) return task.spec.input.inline;
  if (document.state !== "present") return [];
  const head = document.text.slice(0, 32_768).trim();
  if (!/^[[{]/.test(head)) return head.split(/\r?\n/);
  const strings = /"((?:[^"\\]|\\.){4,})"(?!\s*:)/g;
  return [...head.matchAll(strings)].map(([, text = ""]) => text);
}

function refused(
  reason: TaskReason,
  message: string,
  rest: Pick<Refused, "hint"> & Partial<Pick<Refused, "type" | "typeSource" | "model" | "tier" | "isFinal">>,
): Refused {
  return { isResolved: false, reason, message, ...rest };
}

const names = (models: readonly AutoGLMModel[]) =>
  models
    .map(({ metadata }) => metadata.name)
    .sort()
    .slice(0, 10)
    .join(", ");
