/** Prompts for a model that runs here, from files of manifests. */
import { manifestSchema, type PromptSpec, type WorkPrompt } from "@autoglm/api";
import { choosePrompts, workPromptOf, type PromptCandidate, type PromptFacts } from "@autoglm/core";
import { usageError } from "./exit-codes.ts";
import type { CliIo } from "./io.ts";
import { readManifests } from "./manifests.ts";

export interface PromptChoice {
  /** File of AutoGLMPrompts. */
  readonly prompts?: string;
  /** The one of them to ask with; without it they are chosen as for a task. */
  readonly prompt?: string;
}

/**
 * What texts are asked with: what an agent would get.
 * @throws AutoglmError of usage when the file has no such prompt
 */
export async function readPrompts(
  io: CliIo,
  { prompts: file, prompt: name }: PromptChoice,
  facts: PromptFacts,
): Promise<readonly WorkPrompt[] | undefined> {
  if (file === undefined) {
    if (name === undefined) return undefined;
    throw usageError("--prompt names one of the prompts of a file", "name the file with --prompts");
  }
  const found = (await readManifests(file, io)).flatMap(({ kind, object }) =>
    kind === "AutoGLMPrompt" ? [candidateOf(object)] : [],
  );
  const candidates = found.filter((one) => name === undefined || one.name === name);
  const chosen = choosePrompts(candidates, facts).map(workPromptOf);
  if (chosen.length > 0) return chosen;
  const known = found.map((one) => `${one.name} (${one.spec.taskType})`).join(", ");
  throw usageError(
    `${file} has no prompt ${name ?? "that is"} for ${facts.taskType}: it has ${known || "none"}`,
  );
}

function candidateOf(object: unknown): PromptCandidate {
  const { metadata, spec } = manifestSchema("AutoGLMPrompt").parse(object);
  // The schema of the kind has just made it one.
  return { name: metadata.name, spec: spec as PromptSpec };
}
