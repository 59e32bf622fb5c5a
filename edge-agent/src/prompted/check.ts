import { AutoglmError, type WorkPrompt } from "@autoglm/api";
import { PromptProblem } from "./problem.ts";
import { checkTemplate, renderPrompt } from "./render.ts";
import { schemaOf } from "./schemas.ts";

/**
 * Refuses a prompt that would fail with every item, before the first is asked. Renders it once with a short text.
 * @throws AutoglmError `PromptInvalid`, naming the prompt and what is wrong with it
 */
export function assertPromptIsUsable(prompt: WorkPrompt): void {
  try {
    checkTemplate(prompt);
    schemaOf(prompt, []);
    const labels = prompt.labels ?? ["A", "B"];
    const question = {
      texts: { text: "text", question: "question" },
      labels,
      choices: labels,
      lettered: true,
    };
    renderPrompt(prompt, question, () => true);
  } catch (cause) {
    if (!(cause instanceof PromptProblem)) throw cause;
    const message = `the prompt ${prompt.name} can't be used: ${cause.message}`;
    throw new AutoglmError("PromptInvalid", message, { cause });
  }
}
