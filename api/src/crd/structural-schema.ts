/**
 * zod → the structural schemas that the API server takes in a CustomResourceDefinition.
 *
 * zod writes OpenAPI 3.0, which is wider than structural: each node must have one type, alternatives may only add
 * limits, and an object has either known properties or a map's values. What has an equal structural form is
 * rewritten; for the rest an error names the path and what to write instead, because a schema that is
 * silently weaker than its zod source would let through at `kubectl apply` what fails on the node.
 *
 * One difference stays: a structural schema can't bound the keys of a map, only their number.
 * Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 */
import { z } from "zod";
import { AutoglmError } from "../errors.ts";
import type { CelRule } from "../kinds/meta.ts";

/** JSONSchemaProps of apiextensions.k8s.io/v1, as far as a structural schema may use it. */
export interface StructuralSchema {
  readonly description?: string;
  readonly type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly nullable?: true;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly exclusiveMinimum?: true;
  readonly maximum?: number;
  readonly exclusiveMaximum?: true;
  readonly multipleOf?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly required?: readonly string[];
  /** More patterns for the same string. */
  readonly allOf?: readonly { readonly pattern: string }[];
  readonly items?: StructuralSchema;
  readonly properties?: Readonly<Record<string, StructuralSchema>>;
  readonly additionalProperties?: StructuralSchema;
  readonly "x-kubernetes-validations"?: readonly CelRule[];
  readonly "x-kubernetes-list-type"?: "atomic" | "set" | "map";
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-int-or-string"?: true;
  readonly "x-kubernetes-preserve-unknown-fields"?: true;
}

/** What zod emits, before it is checked. */
type Json = Readonly<Record<string, unknown>>;

/** Copied as they are, in this order, so that the YAML is stable. */
const COPIED = [
  "description",
  "type",
  "format",
  "enum",
  "default",
  "nullable",
  "pattern",
  "minLength",
  "maxLength",
  "minimum",
  "exclusiveMinimum",
  "maximum",
  "exclusiveMaximum",
  "multipleOf",
  "minItems",
  "maxItems",
  "minProperties",
  "maxProperties",
  "required",
  "x-kubernetes-validations",
  "x-kubernetes-list-type",
  "x-kubernetes-list-map-keys",
] as const;
/** Annotations without a meaning for the API server, and what is rewritten. */
const DROPPED = ["title", "example", "examples", "deprecated", "readOnly"];
const REWRITTEN = ["items", "properties", "additionalProperties", "allOf", "x-kubernetes-int-or-string"];
const KNOWN: ReadonlySet<string> = new Set([...COPIED, ...DROPPED, ...REWRITTEN]);

/** What to write instead of what has no structural form. */
const UNION = "alternatives of different shapes; write a type field and one optional member object for each";
const ADVICE: Readonly<Record<string, string>> = {
  $ref: "give schemas of kinds no id in .meta()",
  oneOf: UNION,
  prefixItems: "a tuple; write an object",
};
/** Formats that the API server checks as zod does. */
const FORMATS = new Set(["date-time", "uuid", "email", "uri"]);
/** Look-around, back-references and named groups of JavaScript, which Go's RE2 lacks. */
const NOT_RE2 = /\(\?(?:[=!]|<)|\\[1-9]|\\k</;

/**
 * The structural schema of what a user may write (defaults not yet filled in).
 * @throws AutoglmError `Internal` naming the path of a shape that has no structural form
 */
export function toStructuralSchema(schema: z.ZodType): StructuralSchema {
  let json: unknown;
  try {
    json = z.toJSONSchema(schema, {
      target: "openapi-3.0",
      io: "input",
      reused: "inline",
      cycles: "throw",
      unrepresentable: "throw",
      // zod emits a tuple as a list of alternatives, from which it couldn't be told any more.
      override: ({ zodSchema, jsonSchema }) => {
        if (zodSchema instanceof z.ZodTuple) jsonSchema.prefixItems = [];
      },
    });
  } catch (cause) {
    throw refusal("", cause instanceof Error ? cause.message : "no JSON form", cause);
  }
  return structural(json, "");
}

function refusal(path: string, problem: string, cause?: unknown): AutoglmError {
  return new AutoglmError("Internal", `no structural schema for ${path || "the top"}: ${problem}`, {
    details: { path },
    cause,
  });
}

function structural(json: unknown, path: string): StructuralSchema {
  let node = asJson(json, path);
  node = integerOrString(node);
  node = literalsAsEnum(node, path);
  node = withoutSafeIntegerBounds(node);
  node = withFormatOrPattern(node, path);
  const unknown = Object.keys(node).find((key) => !KNOWN.has(key));
  if (unknown !== undefined) throw refusal(path, ADVICE[unknown] ?? `"${unknown}" is not allowed`);
  const copied = Object.fromEntries(COPIED.flatMap((key) => (key in node ? [[key, node[key]]] : [])));
  return { ...copied, ...children(node, path) };
}

/** Parts that are schemas themselves, and the flags that replace what has no type. */
function children(node: Json, path: string): StructuralSchema {
  if (node["x-kubernetes-int-or-string"] === true) return { "x-kubernetes-int-or-string": true };
  switch (node["type"]) {
    case undefined:
      if ("enum" in node) throw refusal(path, "literals of different types");
      return { "x-kubernetes-preserve-unknown-fields": true };
    case "array":
      return { items: structural(node["items"], `${path}[]`) };
    case "object":
      return objectParts(node, path);
    default:
      return node["allOf"] === undefined ? {} : { allOf: patterns(node["allOf"], path) };
  }
}

function objectParts(node: Json, path: string): StructuralSchema {
  const { properties, additionalProperties, required } = node;
  if (properties === undefined) {
    if (required !== undefined) throw refusal(path, "a map can't require keys; write an object");
    // A strict object without fields, an empty object, or a map.
    if (additionalProperties === false || additionalProperties === undefined) return {};
    return { additionalProperties: structural(additionalProperties, `${path}{}`) };
  }
  const fields = Object.entries(asJson(properties, path));
  return {
    properties: Object.fromEntries(
      fields.map(([name, field]) => [name, structural(field, `${path}.${name}`)]),
    ),
    // The API server prunes unknown fields anyway, and refuses them when the client asks for strict validation.
    ...(isOpenObject(additionalProperties) && { "x-kubernetes-preserve-unknown-fields": true as const }),
  };
}

const isOpenObject = (additionalProperties: unknown): boolean =>
  additionalProperties !== undefined && additionalProperties !== false;

/** Several patterns of one string: the type may stand only once. */
function patterns(allOf: unknown, path: string): readonly { readonly pattern: string }[] {
  if (!Array.isArray(allOf)) throw refusal(path, "allOf is no list");
  return allOf.map((part: unknown) => {
    const { pattern } = asJson(part, path);
    if (typeof pattern !== "string") throw refusal(path, "an intersection of more than patterns");
    return { pattern: re2(pattern, path) };
  });
}

function integerOrString(node: Json): Json {
  const types = alternatives(node).map((option) => option["type"]);
  if (types.length !== 2 || !types.includes("integer") || !types.includes("string")) return node;
  const { anyOf: _, ...rest } = node;
  return { ...rest, "x-kubernetes-int-or-string": true };
}

function literalsAsEnum(node: Json, path: string): Json {
  const options = alternatives(node);
  if (options.length === 0) return node;
  const type = options[0]?.["type"];
  if (!options.every((option) => Array.isArray(option["enum"]) && option["type"] === type)) {
    throw refusal(path, UNION);
  }
  const { anyOf: _, ...rest } = node;
  return { ...rest, type, enum: options.flatMap((option): unknown => option["enum"]) };
}

function alternatives(node: Json): readonly Json[] {
  const { anyOf } = node;
  return Array.isArray(anyOf) ? anyOf.filter(isJson) : [];
}

function withoutSafeIntegerBounds(node: Json): Json {
  if (node["type"] !== "integer") return node;
  const { minimum, maximum, ...rest } = node;
  return {
    ...rest,
    format: "int64",
    ...(minimum !== undefined && minimum !== Number.MIN_SAFE_INTEGER && { minimum }),
    ...(maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER && { maximum }),
  };
}

function withFormatOrPattern(node: Json, path: string): Json {
  const { format, pattern, ...rest } = node;
  if (node["type"] !== "string" || format === undefined) {
    return typeof pattern === "string" ? { ...node, pattern: re2(pattern, path) } : node;
  }
  if (typeof format !== "string" || !FORMATS.has(format)) {
    throw refusal(
      path,
      `the API server doesn't check the format ${JSON.stringify(format)} as zod does; use .regex()`,
    );
  }
  return { ...rest, format };
}

function re2(pattern: string, path: string): string {
  if (NOT_RE2.test(pattern)) throw refusal(path, `the pattern ${pattern} is not RE2`);
  return pattern.replaceAll("\\/", "/");
}

const isJson = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function asJson(value: unknown, path: string): Json {
  if (!isJson(value)) throw refusal(path, "not a schema");
  return value;
}
