import { Liquid, type Template } from "liquidjs";
import { PromptProblem } from "./problem.ts";

/** What a template is rendered with: data alone, so that nothing in a text is ever evaluated. */
export type Scope = Readonly<Record<string, unknown>>;

/** A template that its author wrote; 100 labels and 32 examples of 4,096 characters fit many times over. */
const LIMITS = { parseLimit: 1e5, renderLimit: 2000, memoryLimit: 1e8 };

/**
 * Liquid without files, prototypes and silence: what is not declared is an error. Rendering is synchronous; a template has
 * two seconds and 100 MB.
 */
const liquid = new Liquid({
  ...LIMITS,
  templates: {},
  ownPropertyOnly: true,
  strictFilters: true,
  strictVariables: true,
  cache: false,
});

/** A prompt is one template: what would bring another one is no tag here. */
for (const tag of ["include", "render", "layout", "block"]) delete liquid.tags[tag];

interface Parsed {
  readonly template: Template[];
  /** Names that it takes from outside. */
  readonly variables: readonly string[];
}

/** By their text: the same prompt comes with every item. */
const known = new Map<string, Parsed>();
const MAX_KNOWN = 64;

/** @throws PromptProblem naming line and problem */
function parse(source: string): Parsed {
  const before = known.get(source);
  if (before !== undefined) return before;
  try {
    const template = liquid.parse(source);
    const parsed = { template, variables: liquid.globalVariablesSync(template) };
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(source, parsed);
    return parsed;
  } catch (cause) {
    throw new PromptProblem(`the template can't be read: ${firstLineOf(cause)}`, cause);
  }
}

/** @throws PromptProblem */
export function variablesOf(source: string): readonly string[] {
  return parse(source).variables;
}

/** @throws PromptProblem for what the template does with its variables; a message of Liquid never quotes a value */
export function renderTemplate(source: string, scope: Scope): string {
  try {
    return String(liquid.renderSync(parse(source).template, { ...scope }));
  } catch (cause) {
    if (cause instanceof PromptProblem) throw cause;
    throw new PromptProblem(`the template can't be rendered: ${firstLineOf(cause)}`, cause);
  }
}

/** Below the first line Liquid prints the template. */
function firstLineOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : "unknown error";
  return message.split("\n")[0] ?? message;
}
