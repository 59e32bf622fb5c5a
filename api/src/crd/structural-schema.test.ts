import { describe, expect, it } from "vitest";
import { z } from "zod";
import { cel } from "../kinds/meta.ts";
import { toStructuralSchema } from "./structural-schema.ts";

const recursive = z.object({
  get children() {
    return z.array(recursive).optional();
  },
});
const named = z.string().meta({ id: "Named" });

describe("toStructuralSchema", () => {
  it.each([
    [
      "a strict object",
      z.strictObject({ a: z.boolean() }),
      { type: "object", required: ["a"], properties: { a: { type: "boolean" } } },
    ],
    [
      "a loose object",
      z.looseObject({ a: z.boolean() }),
      {
        type: "object",
        required: ["a"],
        properties: { a: { type: "boolean" } },
        "x-kubernetes-preserve-unknown-fields": true,
      },
    ],
    ["an object without fields", z.strictObject({}), { type: "object", properties: {} }],
    [
      "an unknown value",
      z.unknown().describe("d"),
      { description: "d", "x-kubernetes-preserve-unknown-fields": true },
    ],
    [
      "a map",
      z.record(z.string(), z.string().max(3)).meta({ maxProperties: 2 }),
      { type: "object", maxProperties: 2, additionalProperties: { type: "string", maxLength: 3 } },
    ],
    ["literals", z.literal([4, 6]), { type: "number", enum: [4, 6] }],
    ["a union of literals", z.union([z.literal("a"), z.literal("b")]), { type: "string", enum: ["a", "b"] }],
    [
      "an integer or a string",
      z.union([z.int(), z.string()]).describe("d"),
      { description: "d", "x-kubernetes-int-or-string": true },
    ],
    ["null", z.string().nullable(), { type: "string", nullable: true }],
    ["an integer", z.int(), { type: "integer", format: "int64" }],
    [
      "an integer with limits",
      z.int().min(0).max(9),
      { type: "integer", format: "int64", minimum: 0, maximum: 9 },
    ],
    ["an open limit", z.number().gt(0), { type: "number", minimum: 0, exclusiveMinimum: true }],
    ["a time", z.iso.datetime(), { type: "string", format: "date-time" }],
    [
      "two patterns",
      z.string().regex(/^a/).regex(/\/$/),
      { type: "string", allOf: [{ pattern: "^a" }, { pattern: "/$" }] },
    ],
    ["a slash in a pattern", z.string().regex(/^https?:\/\//), { type: "string", pattern: "^https?://" }],
    [
      "annotations",
      z.string().meta({ title: "T", deprecated: true, examples: ["x"], example: "x", description: "d" }),
      { description: "d", type: "string" },
    ],
    [
      "a default",
      z.object({ a: z.enum(["x"]).default("x") }),
      { type: "object", properties: { a: { type: "string", enum: ["x"], default: "x" } } },
    ],
    [
      "an object that is filled in",
      z.object({
        a: z
          .strictObject({ b: z.boolean().default(true) })
          .describe("d")
          .prefault({}),
      }),
      {
        type: "object",
        properties: {
          a: {
            description: "d",
            type: "object",
            default: {},
            properties: { b: { type: "boolean", default: true } },
          },
        },
      },
    ],
    [
      "CEL rules and list types",
      z
        .array(z.string().max(1))
        .max(2)
        .meta({ ...cel({ rule: "r", message: "m" }), "x-kubernetes-list-type": "set" }),
      {
        type: "array",
        maxItems: 2,
        items: { type: "string", maxLength: 1 },
        "x-kubernetes-validations": [{ rule: "r", message: "m" }],
        "x-kubernetes-list-type": "set",
      },
    ],
  ])("writes %s", (_what, schema, expected) => {
    expect(toStructuralSchema(schema)).toEqual(expected);
  });

  it.each([
    [
      "a discriminated union",
      z.discriminatedUnion("t", [z.object({ t: z.literal("a") }), z.object({ t: z.literal("b") })]),
    ],
    ["a union of different shapes", z.union([z.boolean(), z.object({})])],
    ["literals of different types", z.literal(["a", 1])],
    ["a tuple", z.tuple([z.string(), z.int()])],
    ["recursion", recursive],
    ["a schema with an id", z.object({ a: named, b: named })],
    ["a date object", z.date()],
    ["look-ahead", z.string().regex(/^(?!x)a/)],
    ["a back-reference", z.string().regex(/(a)\1/)],
    ["a format that Kubernetes reads differently", z.iso.duration()],
    ["a map that requires keys", z.record(z.enum(["a"]), z.string())],
  ])("refuses %s and names its path", (_what, schema) => {
    expect(() => toStructuralSchema(z.object({ outer: z.array(z.object({ inner: schema })) }))).toThrow(
      expect.objectContaining({ code: "Internal" }),
    );
    expect(() => toStructuralSchema(schema)).toThrow(expect.objectContaining({ code: "Internal" }));
  });

  it("names the path of what it refuses", () => {
    const schema = z.object({ outer: z.array(z.object({ inner: z.string().regex(/(?=x)/) })) });
    expect(() => toStructuralSchema(schema)).toThrow(
      expect.objectContaining({ details: { path: ".outer[].inner" } }),
    );
  });
});
