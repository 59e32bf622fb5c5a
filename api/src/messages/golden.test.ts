/**
 * api/golden/v1 holds what released programs send. A change that can't read these files, or writes them differently,
 * breaks nodes that were not upgraded yet.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { desiredDocumentSchema, workSpecSchema, WIRE_VERSION } from "./documents.ts";
import { enrolmentReplySchema, enrolmentRequestSchema, renewalRequestSchema } from "./enrolment.ts";
import { heartbeatSchema } from "./heartbeat.ts";
import { grantSchema, ledgerSchema, resultChunkSchema, resultPageSchema } from "./results.ts";
import { decodeMessage, encodeMessage } from "./wire.ts";

/** By the first part of the file name; a second part tells samples of one schema apart. */
const SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  "desired-document": desiredDocumentSchema,
  "enrolment-reply": enrolmentReplySchema,
  "enrolment-request": enrolmentRequestSchema,
  "renewal-request": renewalRequestSchema,
  grant: grantSchema,
  heartbeat: heartbeatSchema,
  ledger: ledgerSchema,
  "result-chunk": resultChunkSchema,
  "result-page": resultPageSchema,
  "work-spec": workSpecSchema,
};

const FOLDER = join(import.meta.dirname, "../../golden/v1");
const SAMPLES = readdirSync(FOLDER).map((file) => {
  const bytes = readFileSync(join(FOLDER, file));
  const value: Readonly<Record<string, unknown>> = JSON.parse(bytes.toString());
  const name = file.split(".")[0] ?? "";
  return { file, name, schema: SCHEMAS[name] ?? z.never(), bytes, value };
});

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

describe("golden wire samples", () => {
  it("exist for every message, and for nothing else", () => {
    expect([...new Set(SAMPLES.map(({ name }) => name))].toSorted()).toEqual(Object.keys(SCHEMAS).toSorted());
  });

  it.each(SAMPLES)("$file is read, and written with the same bytes", ({ schema, bytes, value }) => {
    const message = decodeMessage(schema, bytes);
    expect(message).toEqual(value);
    expect(encodeMessage(schema, message)).toEqual(encode(value));
  });

  it.each(SAMPLES)("$file with a field of a later version is read without it", ({ schema, value }) => {
    expect(decodeMessage(schema, encode({ ...value, addedLater: true }))).toEqual(value);
  });

  it.each(SAMPLES.filter(({ value }) => "v" in value))(
    "$file of an unknown version is refused",
    ({ schema, value }) => {
      const later = encode({ ...value, v: WIRE_VERSION + 1 });
      expect(() => decodeMessage(schema, later)).toThrow(expect.objectContaining({ code: "InvalidMessage" }));
    },
  );

  it.each(Object.entries(SCHEMAS))("use every field of %s", (name, schema) => {
    const used = new Set(
      SAMPLES.filter((sample) => sample.name === name).flatMap(({ value }) => [...pathsOf(value)]),
    );
    const declared = [...fieldsOf(z.toJSONSchema(schema, { io: "input", reused: "inline" }))];
    expect(declared.filter((path) => !used.has(path))).toEqual([]);
  });
});

describe("decodeMessage", () => {
  it.each([
    ["no JSON", new TextEncoder().encode("{")],
    ["no UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
    ["an empty body", new Uint8Array()],
    ["a missing field", encode({ v: 1, node: "edge-1", generation: 0, revision: 0 })],
    ["a node id with a dot", encode({ v: 1, node: "edge.1", generation: 0, revision: 0, assignments: [] })],
  ])("refuses %s", (_what, bytes) => {
    expect(() => decodeMessage(desiredDocumentSchema, bytes)).toThrow(
      expect.objectContaining({ code: "InvalidMessage", retry: "never" }),
    );
  });

  it.each([
    [
      "that overlap",
      [
        [0, 5],
        [5, 9],
      ],
    ],
    [
      "in descending order",
      [
        [5, 9],
        [0, 1],
      ],
    ],
    ["that end before they start", [[5, 4]]],
  ])("refuses item ranges %s", (_what, acceptedItems) => {
    const sample = SAMPLES.find(({ name }) => name === "ledger")?.value;
    expect(() => decodeMessage(ledgerSchema, encode({ ...sample, acceptedItems }))).toThrow(
      expect.objectContaining({ code: "InvalidMessage" }),
    );
  });

  it.each([
    ["a pool that would end a quoted word of a shell", "heartbeat", { pool: "a'; reboot; '" }],
    ["a node name that is another path", "enrolment-request", { nodeName: ".." }],
    ["an item beyond what cursors hold", "result-chunk", { end: { total: Number.MAX_SAFE_INTEGER } }],
    ["the same variant twice", "heartbeat", { models: [report(), report()] }],
    ["a variant that no status takes", "heartbeat", { models: [report("x".repeat(64))] }],
  ])("refuses %s", (_what, name, parts) => {
    const sample = SAMPLES.find((one) => one.name === name);
    const schema = SCHEMAS[name] ?? z.never();
    expect(schema.safeParse(sample?.value).success).toBe(true);
    expect(schema.safeParse({ ...Object(sample?.value), ...parts }).success).toBe(false);
  });

  it.each([
    ["neither an output nor an error", {}],
    [
      "both an output and an error",
      {
        output: { type: "token-classification", entities: [], scoreSource: "none" },
        error: { code: "ItemInvalid", message: "no" },
      },
    ],
  ])("refuses a result with %s", (_what, parts) => {
    const sample = SAMPLES.find(({ name }) => name === "result-chunk")?.value;
    const items = [{ item: 0, stage: "final", ms: 1, ...parts }];
    expect(() => decodeMessage(resultChunkSchema, encode({ ...sample, items }))).toThrow(
      expect.objectContaining({ code: "InvalidMessage" }),
    );
  });
});

function report(variant = "fp32") {
  return { model: "m", variant, state: "Ready", downloadedBytes: 1, sizeBytes: 1 };
}

/** `assignments[].task` of every field in a value. */
function* pathsOf(value: unknown, path = ""): Generator<string> {
  if (Array.isArray(value)) {
    for (const element of value) yield* pathsOf(element, `${path}[]`);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, field] of Object.entries(value)) {
      yield `${path}.${key}`;
      yield* pathsOf(field, `${path}.${key}`);
    }
  }
}

/** The same of every field that a schema declares. */
function* fieldsOf(schema: z.core.JSONSchema._JSONSchema, path = ""): Generator<string> {
  if (typeof schema === "boolean") return;
  for (const option of [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) yield* fieldsOf(option, path);
  if (schema.items !== undefined && !Array.isArray(schema.items)) yield* fieldsOf(schema.items, `${path}[]`);
  for (const [key, field] of Object.entries(schema.properties ?? {})) {
    yield `${path}.${key}`;
    yield* fieldsOf(field, `${path}.${key}`);
  }
}
