/** What a task asks for, made definite, or why that can't be. */
import type {
  AutoGLMModel,
  ModelVariant,
  TaskReason,
  TaskStatus,
  TaskType,
  Tier,
  WorkPrompt,
} from "@autoglm/api";
import { firstNames, type VariantCandidate } from "@autoglm/core";

/** A model behind a gate, and the variant that answers there. */
export interface DeepModel {
  readonly model: AutoGLMModel;
  readonly variant: ModelVariant;
}

export interface Resolved {
  readonly isResolved: true;
  readonly type: TaskType;
  readonly typeSource: NonNullable<TaskStatus["typeSource"]>;
  readonly model: AutoGLMModel;
  /** The model that the task named, where `model` stands in for it. */
  readonly standInFor?: string | undefined;
  readonly tier: Tier;
  /** Best first; at least one. */
  readonly candidates: readonly VariantCandidate[];
  /** For a generating model: to be chosen from by the language of each text. */
  readonly prompts?: readonly WorkPrompt[] | undefined;
  readonly deep?: DeepModel | undefined;
}

export interface Refused {
  readonly isResolved: false;
  readonly reason: TaskReason;
  readonly message: string;
  readonly hint: string;
  readonly type?: TaskType | undefined;
  readonly typeSource?: TaskStatus["typeSource"];
  readonly model?: string | undefined;
  readonly standInFor?: undefined;
  readonly tier?: Tier | undefined;
  /** Nothing outside the task can mend it, and what would have to change in it can't. */
  readonly isFinal?: boolean | undefined;
}

export type Resolution = Resolved | Refused;

export function refused(
  reason: TaskReason,
  message: string,
  rest: Pick<Refused, "hint"> & Partial<Pick<Refused, "type" | "typeSource" | "model" | "tier" | "isFinal">>,
): Refused {
  return { isResolved: false, reason, message, ...rest };
}

/** The first names, for a message, with how many more there are. */
export const namesOf = (objects: readonly { readonly metadata: { readonly name: string } }[]) =>
  firstNames(objects.map(({ metadata }) => metadata.name).sort());
