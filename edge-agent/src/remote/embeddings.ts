import type { WorkSpec } from "@autoglm/api";
import { z } from "zod";
import type { EndpointClient } from "./client.ts";
import { itemError, type PromptedResult } from "../prompted/result.ts";

const replySchema = z.looseObject({
  model: z.string().nullish(),
  data: z.array(z.looseObject({ index: z.int().min(0), embedding: z.array(z.number()).min(1) })),
});

export interface Embedded {
  readonly results: readonly PromptedResult[];
  readonly served: string | undefined;
}

/** Embeddings of some texts in one request; one result for each. */
export async function embedTexts(
  client: EndpointClient,
  model: string,
  texts: readonly string[],
  { normalize = true }: Pick<WorkSpec["parameters"], "normalize">,
  signal: AbortSignal,
): Promise<Embedded> {
  const reply = replySchema.safeParse(await client.post("/embeddings", { model, input: texts }, signal));
  const embeddings = new Map(reply.data?.data.map(({ index, embedding }) => [index, embedding]));
  const results = texts.map((_, index) => {
    const embedding = embeddings.get(index);
    if (embedding === undefined)
      return itemError("AnswerInvalid", "the endpoint gave no embedding for the text");
    return {
      output: {
        type: "feature-extraction" as const,
        embedding: normalize ? scaled(embedding) : embedding,
        scoreSource: "none" as const,
      },
    };
  });
  return { results, served: reply.data?.model ?? undefined };
}

function scaled(embedding: readonly number[]): number[] {
  const length = Math.hypot(...embedding) || 1;
  return embedding.map((value) => value / length);
}
