import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { AutoglmError, manifestSchema, type PromptSpec } from "@autoglm/api";
import type { PromptCandidate } from "@autoglm/core";
import { parseAllDocuments } from "yaml";

/** In the checkout, or beside the bundle (hack/build.ts). */
const FOLDER = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../../prompts" : "./prompts", import.meta.url),
);

/**
 * The built-in prompts: every AutoGLMPrompt in the YAML files of the folder.
 * @throws AutoglmError `Invalid`, naming file and field
 */
export async function loadPromptLibrary(folder: string = FOLDER): Promise<readonly PromptCandidate[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".yaml")).sort();
  const prompts: PromptCandidate[] = [];
  for (const file of files) {
    for (const document of parseAllDocuments(await readFile(path.join(folder, file), "utf8"))) {
      const parsed = manifestSchema("AutoGLMPrompt").safeParse(document.toJS());
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        throw new AutoglmError("Invalid", `${file}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`);
      }
      const { metadata, spec } = parsed.data;
      // The schema of the kind has just made it one.
      prompts.push({ name: metadata.name, spec: spec as PromptSpec });
    }
  }
  return prompts;
}
