import { z } from "zod";

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
  namespace: z.string().optional(),
  uid: z.string(),
  generation: z.int().optional(),
  resourceVersion: z.string().optional(),
  creationTimestamp: z.string().optional(),
  deletionTimestamp: z.string().optional(),
  finalizers: z.array(z.string()).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type ObjectMeta = z.infer<typeof objectMetaSchema>;

/** Key under which zod metadata carries CEL rules into the CRD. */
export const CEL = "x-kubernetes-validations";

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

/** A list that the API server merges by key, so that two writers don't overwrite each other's entries. */
export function listMap(...keys: readonly string[]): Record<string, unknown> {
  return { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys };
}
