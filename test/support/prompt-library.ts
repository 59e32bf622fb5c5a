import type { TaskType, WorkPrompt } from "@autoglm/api";
import { choosePrompts, workPromptOf } from "@autoglm/core";
import { loadPromptLibrary } from "../../operator/src/library.ts";

/** The built-in prompts, as the operator has them. */
export const builtInPrompts = await loadPromptLibrary();

/** What a node gets for a task that names no prompt: one for each language. */
export function promptsFor(taskType: TaskType, labels?: readonly string[]): readonly WorkPrompt[] {
  return choosePrompts(builtInPrompts, { taskType, labels }).map(workPromptOf);
}
