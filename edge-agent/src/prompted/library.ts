import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { AutoglmError, manifestSchema, type PromptSpec, type TaskType, type WorkPrompt } from "@autoglm/api";
import { choosePrompts, workPromptOf, type PromptCandidate } from "@autoglm/core";
import { parseAllDocuments } from "yaml";

/** In the checkout, or beside the bundle (hack/build.ts). */
const FOLDER = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../../../prompts" : "./prompts", import.meta.url),
);

/**
 * The built-in prompts, for requests that reach the node itself: tasks bring theirs along.
 * @throws AutoglmError `Invalid`, naming file and field
 */
export async function loadPromptLibrary(folder: string = FOLDER): Promise<PromptLibrary> {
  const candidates: PromptCandidate[] = [];
  const files = (await readdir(folder)).filter((name) => name.endsWith(".yaml")).sort();
  for (const file of files) {
    for (const document of parseAllDocuments(await readFile(path.join(folder, file), "utf8"))) {
      const parsed = manifestSchema("AutoGLMPrompt").safeParse(document.toJS());
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        throw new AutoglmError("Invalid", `${file}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`);
      }
      const { metadata, spec } = parsed.data;
      // The schema of the kind has just made it one.
      candidates.push({ name: metadata.name, spec: spec as PromptSpec });
    }
  }
  return new PromptLibrary(candidates);
}

export class PromptLibrary {
  readonly candidates: readonly PromptCandidate[];

  constructor(candidates: readonly PromptCandidate[]) {
    this.candidates = candidates;
  }

  /** One for each language; none for a type that takes none, or that answers to raw text. */
  promptsFor(taskType: TaskType, labels: readonly string[] | undefined): readonly WorkPrompt[] {
    return choosePrompts(this.candidates, { taskType, labels }).map(workPromptOf);
  }
}
