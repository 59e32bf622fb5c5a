/** The form of structured answers: JSON schemas by task type, and checks against them. */
import { Validator } from "@cfworker/json-schema";
import type { TaskType, WorkPrompt } from "@autoglm/api";
import { PromptProblem } from "./problem.ts";

export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * Schema of an answer: the prompt's own, else that of the task type; undefined for a type that answers in plain text.
 * Where the labels are known and the schema leaves them open, only they are allowed.
 * @throws PromptProblem for an outputSchema that is no JSON schema
 */
export function schemaOf(
  prompt: Pick<WorkPrompt, "taskType" | "outputSchema">,
  labels: readonly string[],
): JsonSchema | undefined {
  const { taskType, outputSchema } = prompt;
  const schema = outputSchema === undefined ? defaultSchema(taskType) : parseSchema(outputSchema);
  const [list, labelled] = LABELLED[taskType] ?? [];
  if (schema === undefined || list === undefined || labelled === undefined || labels.length === 0)
    return schema;
  return withEnum(schema, ["properties", list, "items", "properties", labelled], labels);
}

/** Where the labels of an answer stand: the list, and the member of its elements. */
const LABELLED: Partial<Record<TaskType, readonly [string, string]>> = {
  "token-classification": ["entities", "type"],
  "relation-extraction": ["relations", "relation"],
};

function defaultSchema(taskType: TaskType): JsonSchema | undefined {
  const text = { type: "string", minLength: 1 };
  if (taskType === "token-classification") return listOf("entities", { text, type: text });
  if (taskType === "relation-extraction")
    return listOf("relations", { head: text, relation: text, tail: text });
  return undefined;
}

function listOf(name: string, properties: JsonSchema): JsonSchema {
  const required = Object.keys(properties);
  const items = { type: "object", properties, required, additionalProperties: false };
  return {
    type: "object",
    properties: { [name]: { type: "array", items } },
    required: [name],
    additionalProperties: false,
  };
}

function parseSchema(text: string): JsonSchema {
  let schema: unknown;
  try {
    schema = JSON.parse(text);
  } catch (cause) {
    throw new PromptProblem("outputSchema is no JSON", cause);
  }
  if (!isObject(schema)) throw new PromptProblem("outputSchema is no JSON schema: it must be an object");
  // External documents are never fetched; a reference to one would fail at every answer.
  const external = /"\$ref"\s*:\s*"(?!#)/.test(text);
  if (external) throw new PromptProblem("outputSchema refers to another document: put it under $defs");
  return schema;
}

/** Sets `enum` at a path, unless the schema has none of it or says itself what is allowed. */
function withEnum(schema: JsonSchema, path: readonly string[], labels: readonly string[]): JsonSchema {
  const [step, ...rest] = path;
  if (step === undefined) {
    return "enum" in schema || "const" in schema ? schema : { ...schema, enum: labels };
  }
  const inner = schema[step];
  return isObject(inner) ? { ...schema, [step]: withEnum(inner, rest, labels) } : schema;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export type Checked = { readonly value: unknown } | { readonly problem: string; readonly rule: string };

/**
 * Reads the JSON of an answer, with or without a code fence and words around it, and checks it.
 * @returns `problem` for the model, which may quote the answer; `rule` for people, which does not
 */
export function readJsonAnswer(answer: string, schema: JsonSchema): Checked {
  const value = findJson(answer);
  if (value === undefined) return { problem: "it contains no complete JSON value", rule: "no JSON" };
  const { valid, errors } = new Validator(schema, "2020-12", false).validate(value);
  if (valid) return { value };
  // The innermost error is the last one; a schema that is `false` alone says less than the one that it stands in.
  const error = errors.findLast(({ keyword }) => keyword !== "false");
  return {
    problem: `${error?.instanceLocation ?? "#"}: ${error?.error ?? "it does not fit the schema"}`,
    rule: error?.keyword ?? "schema",
  };
}

function findJson(answer: string): unknown {
  for (const { index } of answer.matchAll(/[{[]/g)) {
    const end = endOfJson(answer, index);
    if (end === undefined) continue;
    try {
      return JSON.parse(answer.slice(index, end));
    } catch {
      // A bracket in the words before it.
    }
  }
  return undefined;
}

/** Behind the bracket that closes the one at `start`. */
function endOfJson(text: string, start: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let index = start; index < text.length; index++) {
    const character = text.charAt(index);
    if (inString) {
      if (character === "\\") index++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") {
      depth--;
      if (depth === 0) return index + 1;
    }
  }
  return undefined;
}
