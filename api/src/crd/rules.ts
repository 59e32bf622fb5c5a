/**
 * What the API server refuses at `kubectl apply`, judged without one: by the embedded store, and by the CLI before
 * it sends. Structure and rules come from the same schemas as the CRD; messages of rules are the same.
 */
import type { AutoGLMTask } from "../kinds/kinds.ts";
import {
  IMMUTABLE_FIELDS,
  immutableMessage,
  PLACEMENT_FIXED_MESSAGE,
  taskSpecSchema,
} from "../kinds/task.ts";

/** One thing that is wrong; `field` as kubectl writes it: `spec.input.inline[3]`. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/** What is wrong with the spec of a new task, before defaults are filled in; empty when the API server would take it. */
export function checkTaskSpec(spec: unknown): readonly FieldProblem[] {
  const parsed = taskSpecSchema.safeParse(spec);
  if (parsed.success) return [];
  return parsed.error.issues.map(({ path, message, ...issue }) => ({
    // An unknown field is reported at its parent.
    field: fieldText([
      "spec",
      ...path,
      ...(issue.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : []),
    ]),
    message,
  }));
}

/** What is wrong with a change of a task: fields that define the work, and placement once there is one. */
export function checkTaskUpdate(
  previous: Pick<AutoGLMTask, "spec">,
  next: Pick<AutoGLMTask, "spec" | "status">,
): readonly FieldProblem[] {
  const changed = IMMUTABLE_FIELDS.filter((field) => !isSameValue(previous.spec[field], next.spec[field]));
  const problems = changed.map((field) => ({ field: `spec.${field}`, message: immutableMessage(field) }));
  const isPlaced = (next.status?.placements ?? []).length > 0;
  return isPlaced && !isSameValue(previous.spec.placement, next.spec.placement)
    ? [...problems, { field: "spec.placement", message: PLACEMENT_FIXED_MESSAGE }]
    : problems;
}

function fieldText(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .slice(1);
}

/** JSON values: equal whatever the order of keys; a missing field is the same as an undefined one. */
function isSameValue(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  const [left, right] = [new Map(Object.entries(a)), new Map(Object.entries(b))];
  return [...new Set([...left.keys(), ...right.keys()])].every((key) =>
    isSameValue(left.get(key), right.get(key)),
  );
}
