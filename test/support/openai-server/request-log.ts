import { createHash } from "node:crypto";

export interface LoggedRequest {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** Last message of the user. */
  readonly prompt: string;
  /** The same for two sends of the same request, whatever their request_id. */
  readonly digest: string;
  outcome: "open" | "answered" | "refused" | "cut";
  status: number;
}

/** @param value the body as it came */
export function logOf(path: string, value: unknown): LoggedRequest {
  const body: Record<string, unknown> = typeof value === "object" && value !== null ? { ...value } : {};
  const { request_id: _, ...rest } = body;
  const digest = createHash("sha256")
    .update(JSON.stringify([path, rest]))
    .digest("hex");
  return { path, body, prompt: promptOf(rest), digest, outcome: "open", status: 0 };
}

/** In the order of the log. */
export function sentAgainAfterAnswer(requests: readonly LoggedRequest[]): readonly LoggedRequest[] {
  const answered = new Set<string>();
  return requests.filter(({ digest, outcome }) => {
    const again = answered.has(digest);
    if (outcome === "answered") answered.add(digest);
    return again;
  });
}

function promptOf(body: Readonly<Record<string, unknown>>): string {
  const { messages } = body;
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  const content = typeof last === "object" && last !== null && "content" in last ? last.content : "";
  return typeof content === "string" ? content : JSON.stringify(content);
}
