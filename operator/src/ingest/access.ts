/**
 * Who may read the results of a task: whoever may `get` the task. In a cluster the API server says so; without
 * one, whoever is on this machine and holds the token that was made at start.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { GROUP, KINDS } from "@autoglm/api";
import { type KubeClient, type ReviewedUser, reviewAccess, reviewToken } from "@autoglm/kube";

export interface AccessRequest {
  readonly token: string | undefined;
  readonly remoteAddress: string;
  /** Absent: only the question who it is. */
  readonly task?: { readonly namespace: string; readonly name: string } | undefined;
}

export type Caller = Pick<AccessRequest, "token" | "remoteAddress">;

export type Access = "allowed" | "denied" | "unauthenticated";

export interface AccessPort {
  /** Without a task: `denied` for anybody who is known. Throws ApiUnavailable when nobody can say. */
  judge(request: AccessRequest): Promise<Access>;
  /** Whether the caller may bring files of models: whoever may `create` AutoGLMModels. */
  judgeUpload(caller: Caller): Promise<Access>;
}

const CACHE_MS = 10_000;
const CACHED_ANSWERS = 10_000;

/** TokenReview, then SubjectAccessReview; answers are kept for ten seconds, so a lost right ends that soon. */
export class KubeAccess implements AccessPort {
  readonly #client: KubeClient;
  readonly #now: () => number;
  readonly #answers = new Map<string, { readonly until: number; readonly answer: Promise<unknown> }>();

  /** @param now milliseconds since the epoch */
  constructor(client: KubeClient, now: () => number = Date.now) {
    this.#client = client;
    this.#now = now;
  }

  async judge({ token, task }: AccessRequest): Promise<Access> {
    if (token === undefined) return "unauthenticated";
    const user = await this.#user(token);
    if (user === undefined) return "unauthenticated";
    if (task === undefined) return "denied";
    return (await this.#mayGet(user, task)) ? "allowed" : "denied";
  }

  async judgeUpload({ token }: Caller): Promise<Access> {
    const user = token === undefined ? undefined : await this.#user(token);
    if (user === undefined) return "unauthenticated";
    const { plural: resource } = KINDS.AutoGLMModel;
    return (await this.#may({ user, verb: "create", group: GROUP, resource })) ? "allowed" : "denied";
  }

  #user(token: string): Promise<ReviewedUser | undefined> {
    // The token itself is not kept.
    const digest = createHash("sha256").update(token).digest("base64");
    return this.#cached(`user ${digest}`, () => reviewToken(this.#client, token));
  }

  #mayGet(user: ReviewedUser, task: { readonly namespace: string; readonly name: string }): Promise<boolean> {
    const question = {
      user,
      verb: "get",
      group: GROUP,
      resource: KINDS.AutoGLMTask.plural,
      namespace: task.namespace,
      name: task.name,
    };
    return this.#may(question);
  }

  #may(question: Parameters<typeof reviewAccess>[1]): Promise<boolean> {
    return this.#cached(`access ${JSON.stringify(question)}`, async () => {
      const { allowed } = await reviewAccess(this.#client, question);
      return allowed;
    });
  }

  #cached<T>(key: string, ask: () => Promise<T>): Promise<T> {
    const known = this.#answers.get(key);
    // A key begins with what its answer is.
    if (known !== undefined && known.until > this.#now()) return known.answer as Promise<T>;
    const answer = ask();
    this.#answers.delete(key);
    this.#answers.set(key, { until: this.#now() + CACHE_MS, answer });
    answer.catch(() => this.#answers.delete(key));
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= CACHED_ANSWERS) break;
      this.#answers.delete(oldest);
    }
    return answer;
  }
}

/** For a run without a cluster. */
export class LoopbackAccess implements AccessPort {
  readonly #token: Buffer;

  constructor(token: string) {
    this.#token = Buffer.from(token);
  }

  judge({ token, remoteAddress, task }: AccessRequest): Promise<Access> {
    const isLocal = /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/.test(remoteAddress);
    const given = Buffer.from(token ?? "");
    const isToken = given.length === this.#token.length && timingSafeEqual(given, this.#token);
    if (!isLocal || !isToken) return Promise.resolve("unauthenticated");
    return Promise.resolve(task === undefined ? "denied" : "allowed");
  }

  async judgeUpload(caller: Caller): Promise<Access> {
    return (await this.judge(caller)) === "denied" ? "allowed" : "unauthenticated";
  }
}
