import { describe, expect, it } from "vitest";
import { KINDS } from "../kinds/kinds.ts";
import { TASK_TYPE_ALIASES, TASK_TYPE_CONTRACTS, TASK_TYPES } from "../task-types.ts";
import { type CustomResourceDefinition, toCustomResourceDefinition } from "./custom-resource-definition.ts";
import type { StructuralSchema } from "./structural-schema.ts";

const DEFINITIONS = Object.values(KINDS).map((contract) => toCustomResourceDefinition(contract));

function versionOf(definition: CustomResourceDefinition) {
  const [version] = definition.spec.versions;
  if (!version) throw new Error("a kind without a version");
  return version;
}

interface Node {
  readonly path: string;
  readonly schema: StructuralSchema;
}

/** Every schema below spec and status: fields, and elements of lists and maps. */
function nodesOf(definition: CustomResourceDefinition): readonly Node[] {
  const walk = (schema: StructuralSchema, path: string): Node[] => [
    { path, schema },
    ...Object.entries(schema.properties ?? {}).flatMap(([name, field]) => walk(field, `${path}.${name}`)),
    ...(schema.items ? walk(schema.items, `${path}[]`) : []),
    ...(schema.additionalProperties ? walk(schema.additionalProperties, `${path}{}`) : []),
  ];
  const { spec, status } = versionOf(definition).schema.openAPIV3Schema.properties ?? {};
  return [...walk(spec ?? {}, ".spec"), ...(status === undefined ? [] : walk(status, ".status"))];
}

const isField = ({ path }: Node) => !path.endsWith("[]") && !path.endsWith("{}");

function isBounded({ type, format, ...schema }: StructuralSchema): boolean {
  if (type === "string") {
    return schema.maxLength !== undefined || schema.enum !== undefined || format === "date-time";
  }
  if (type === "array") return schema.maxItems !== undefined;
  if (type === "object") return schema.properties !== undefined || schema.maxProperties !== undefined;
  return type !== undefined;
}

describe.each(DEFINITIONS.map((definition) => ({ kind: definition.spec.names.kind, definition })))(
  "the CustomResourceDefinition of $kind",
  ({ definition }) => {
    const nodes = nodesOf(definition);

    it("describes every field in a sentence", () => {
      const wrong = nodes
        .filter(isField)
        .filter(({ schema }) => !/^\S.{4,}[.)]$/s.test(schema.description ?? ""));
      expect(wrong.map(({ path }) => path)).toEqual([]);
    });

    it("bounds every string, list and map", () => {
      expect(nodes.filter(({ schema }) => !isBounded(schema)).map(({ path }) => path)).toEqual([]);
    });

    it("requires the keys by which elements of a list are told apart", () => {
      const keys = nodes.flatMap(({ path, schema }) =>
        (schema["x-kubernetes-list-map-keys"] ?? []).map((key) => ({
          key: `${path}[].${key}`,
          isRequired: schema.items?.required?.includes(key),
        })),
      );
      expect(keys).not.toEqual([]);
      expect(keys.filter(({ isRequired }) => !isRequired)).toEqual([]);
    });

    it("has columns and selectors that name fields", () => {
      const { additionalPrinterColumns, selectableFields = [] } = versionOf(definition);
      const paths = new Set([...nodes.map(({ path }) => path), ".metadata.creationTimestamp"]);
      const named = [...additionalPrinterColumns, ...selectableFields].map(({ jsonPath }) => jsonPath);
      expect(named.filter((path) => !paths.has(path.replaceAll(/\[\d+\]/g, "[]")))).toEqual([]);
    });

    it("has a short name, the category, and a status subresource where it has a status", () => {
      expect(definition.spec.names).toMatchObject({
        shortNames: [expect.stringMatching(/^ag.$/)],
        categories: ["autoglm"],
      });
      const hasStatus = nodes.some(({ path }) => path === ".status");
      expect(versionOf(definition).subresources).toEqual(hasStatus ? { status: {} } : undefined);
    });

    it("gives each rule a message", () => {
      const rules = nodes.flatMap(({ schema }) => schema["x-kubernetes-validations"] ?? []);
      for (const rule of rules) {
        expect(rule.message.length).toBeGreaterThan(10);
        expect(Object.keys(rule)).not.toContain("holds");
      }
    });
  },
);

describe("the description of spec.type", () => {
  const description = nodesOf(toCustomResourceDefinition(KINDS.AutoGLMTask)).find(
    ({ path }) => path === ".spec.type",
  )?.schema.description;

  it.each(TASK_TYPES)("tells default tier, autoPrompt and aliases of %s", (type) => {
    const { defaultTier, autoPrompt } = TASK_TYPE_CONTRACTS[type];
    const about = description?.split(". ").find((sentence) => sentence.startsWith(type));
    expect(about).toContain(`default tier ${defaultTier}`);
    expect(about).toContain(`autoPrompt ${autoPrompt ? "yes" : "no"}`);
    for (const [alias, of] of Object.entries(TASK_TYPE_ALIASES)) {
      expect(new RegExp(`\\b${alias}\\b`).test(about ?? "")).toBe(of === type);
    }
  });
});
