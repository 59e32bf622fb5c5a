import { z } from "zod";
import { QUANTITY_PATTERN, parseQuantityBytes } from "../quantity.ts";

/** metav1.Condition, bounded as upstream bounds it. */
export const conditionSchema = z.object({
  type: z.string().min(1).max(316).describe("What is judged, e.g. Complete."),
  status: z
    .enum(["True", "False", "Unknown"])
    .describe("Whether it holds; Unknown when the node can't be reached."),
  observedGeneration: z.int().min(0).optional().describe("The generation of the object that was judged."),
  lastTransitionTime: z.iso.datetime().describe("When status last changed."),
  reason: z.string().min(1).max(1024).describe("One word from a closed list."),
  message: z.string().max(32768).describe("A sentence for a person, with the mend where there is one."),
});
export type Condition = z.infer<typeof conditionSchema>;

/** The part of ObjectMeta that our code reads. */
export const objectMetaSchema = z.object({
  name: z.string(),
  namespace: z.string().exactOptional(),
  uid: z.string(),
  generation: z.int().exactOptional(),
  resourceVersion: z.string().exactOptional(),
  creationTimestamp: z.string().exactOptional(),
  deletionTimestamp: z.string().exactOptional(),
  finalizers: z.array(z.string()).exactOptional(),
  labels: z.record(z.string(), z.string()).exactOptional(),
  annotations: z.record(z.string(), z.string()).exactOptional(),
});
export type ObjectMeta = z.infer<typeof objectMetaSchema>;

/** Key under which zod metadata carries CEL rules into the CRD. */
const CEL = "x-kubernetes-validations";

export interface CelRule {
  readonly rule: string;
  readonly message: string;
  readonly fieldPath?: string;
  readonly reason?: "FieldValueInvalid" | "FieldValueForbidden" | "FieldValueRequired";
}

/** Metadata that the CRD generator copies into the schema: `schema.meta(cel({rule, message}))`. */
export function cel(...rules: readonly CelRule[]): Record<string, readonly CelRule[]> {
  return { [CEL]: rules };
}

/** A CEL rule about one state of an object, and the same judgement for where no API server runs it. */
export interface StateRule<Value> extends CelRule {
  readonly holds: (value: Value) => boolean;
}

/**
 * Attaches rules to a schema twice: as CEL for the API server, and as zod checks with the same message and path for
 * the embedded store and the CLI.
 */
export function withRules<S extends z.ZodType>(
  schema: S,
  rules: readonly StateRule<z.output<S>>[],
  /** CEL alone: rules that compare with the stored object. */
  transitionRules: readonly CelRule[] = [],
): S {
  return schema
    .check(({ value, issues }) => {
      for (const { holds, message, fieldPath } of rules) {
        if (holds(value)) continue;
        const path = fieldPath?.split(".").filter(Boolean) ?? [];
        issues.push({ code: "custom", input: value, message, path, continue: true });
      }
    })
    .meta(cel(...rules.map(withoutTwin), ...transitionRules));
}

function withoutTwin({ rule, message, fieldPath, reason }: CelRule): CelRule {
  return { rule, message, ...(fieldPath && { fieldPath }), ...(reason && { reason }) };
}

export const kubernetesName = (what: string) =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/)
    .describe(what);

/** Name or alias of a model, as users know it: GLM-4-Flash, smollm2-135m-instruct. */
export const modelName = (what: string) =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(/^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$/)
    .describe(what);

const QUANTITY = new RegExp(QUANTITY_PATTERN);

/** A memory quantity above 0. */
export function memoryQuantity(description: string) {
  return withRules(z.string().max(32).regex(QUANTITY).describe(description), [
    {
      rule: "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
      message: "memory must be a positive quantity such as 512Mi or 3Gi",
      holds: (quantity) => QUANTITY.test(quantity) && parseQuantityBytes(quantity) > 0,
    },
  ]);
}

/** A list that the API server merges by key, so that two writers don't overwrite each other's entries. */
export function listMap(...keys: readonly string[]): Record<string, unknown> {
  return { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys };
}

/** zod's side of list types `map` and `set`: refuses the second element with the same key. */
export function refuseDuplicates<Element>(keyOf: (element: Element) => string): z.core.CheckFn<Element[]> {
  return ({ value, issues }) => {
    const seen = new Set<string>();
    for (const [index, element] of value.entries()) {
      const key = keyOf(element);
      if (seen.has(key)) {
        issues.push({ code: "custom", input: element, message: `"${key}" stands here twice`, path: [index] });
      }
      seen.add(key);
    }
  };
}
