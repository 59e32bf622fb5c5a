import type { Usage } from "./reply.ts";

/** What was spent at an endpoint since the agent started. */
export interface EndpointUsage extends Usage {
  /** Requests that were answered. */
  readonly answers: number;
  /** Sends besides the first of a request. */
  readonly retries: number;
  /** The server had taken a request before, and its answer never came. */
  readonly answersLost: number;
}

export const NOTHING_USED: EndpointUsage = {
  answers: 0,
  retries: 0,
  answersLost: 0,
  promptTokens: 0,
  completionTokens: 0,
  reasoningTokens: 0,
  cachedTokens: 0,
};

export function addUsage(a: EndpointUsage, b: Partial<EndpointUsage>): EndpointUsage {
  return {
    answers: a.answers + (b.answers ?? 0),
    retries: a.retries + (b.retries ?? 0),
    answersLost: a.answersLost + (b.answersLost ?? 0),
    promptTokens: a.promptTokens + (b.promptTokens ?? 0),
    completionTokens: a.completionTokens + (b.completionTokens ?? 0),
    reasoningTokens: a.reasoningTokens + (b.reasoningTokens ?? 0),
    cachedTokens: a.cachedTokens + (b.cachedTokens ?? 0),
  };
}
