/** Who is it, and may they: asked of the API server, so that RBAC is the only place where rights are given. */
import type { CallOptions, KubeClient } from "./client.ts";

export interface ReviewedUser {
  readonly username: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface TokenReviewOptions extends CallOptions {
  /** The token must be meant for one of these; default: the API server's own. */
  readonly audiences?: readonly string[];
}

/** The user a bearer token stands for; `undefined` when the API server does not accept it. */
export async function reviewToken(
  client: KubeClient,
  token: string,
  options: TokenReviewOptions = {},
): Promise<ReviewedUser | undefined> {
  const { audiences, ...call } = options;
  const status = await review<{ readonly authenticated?: boolean; readonly user?: ReviewedUser }>(
    client,
    { group: "authentication.k8s.io", plural: "tokenreviews", kind: "TokenReview" },
    { token, ...(audiences === undefined ? {} : { audiences }) },
    call,
  );
  return status.authenticated === true ? status.user : undefined;
}

export interface AccessQuestion {
  readonly user: ReviewedUser;
  /** `get`, `create`, `list`, … */
  readonly verb: string;
  /** Empty for the core group. */
  readonly group: string;
  /** Plural. */
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

export interface AccessAnswer {
  readonly allowed: boolean;
  /** Which rule allowed it, or why none could be evaluated; may be empty. */
  readonly reason: string;
}

export async function reviewAccess(
  client: KubeClient,
  question: AccessQuestion,
  options: CallOptions = {},
): Promise<AccessAnswer> {
  const { user, ...resourceAttributes } = question;
  const status = await review<{ readonly allowed?: boolean; readonly reason?: string }>(
    client,
    { group: "authorization.k8s.io", plural: "subjectaccessreviews", kind: "SubjectAccessReview" },
    { user: user.username, groups: user.groups, uid: user.uid, extra: user.extra, resourceAttributes },
    options,
  );
  return { allowed: status.allowed === true, reason: status.reason ?? "" };
}

/** A review is a question in the form of an object that is created and never stored. */
async function review<Status>(
  client: KubeClient,
  kind: { readonly group: string; readonly plural: string; readonly kind: string },
  spec: unknown,
  call: CallOptions,
): Promise<Status> {
  const answer = await client.request({
    method: "POST",
    path: `/apis/${kind.group}/v1/${kind.plural}`,
    body: { apiVersion: `${kind.group}/v1`, kind: kind.kind, spec },
    subject: { method: "create", resource: `${kind.plural}.${kind.group}` },
    ...call,
  });
  return (JSON.parse(answer) as { readonly status: Status }).status;
}
