/** Whether an agent may enrol, or renew what it has. Pure. */
import type { AutoGLMNode } from "@autoglm/api";
import { wasRevoked } from "../controllers/node/description.ts";

export interface EnrolmentFacts {
  readonly nodeName: string;
  readonly nodeId: string;
  readonly publicKey: string;
  readonly tokenSha256: string;
  /** The node that the API server says a ServiceAccount token is bound to; undefined for any other token. */
  readonly tokenNodeName: string | undefined;
  readonly node: AutoGLMNode | undefined;
  /** Name of another node that has this id. */
  readonly namesake: string | undefined;
  readonly nowMs: number;
}

export type Judgement =
  /** `usedTokenSha256` is to be recorded before the answer, so that the token is good for this key alone. */
  | { readonly isAllowed: true; readonly usedTokenSha256: string | undefined }
  | { readonly isAllowed: false; readonly because: string };

export function judgeEnrolment(facts: EnrolmentFacts): Judgement {
  const { node, tokenSha256 } = facts;
  if (facts.namesake !== undefined) return refused(`node ${facts.namesake} has the same id on the bus`);
  if (facts.tokenNodeName !== undefined) {
    // Its pod gets a new token every hour: a revocation that such a token ends would last no longer.
    if (node?.spec.revokedBefore !== undefined) {
      return refused("the node is revoked: remove spec.revokedBefore, or give it a one-time token");
    }
    return facts.tokenNodeName === facts.nodeName
      ? { isAllowed: true, usedTokenSha256: node?.status?.usedTokenSha256 }
      : refused("the token is bound to another node");
  }
  const enrolment = node?.spec.enrolment;
  if (enrolment?.tokenSha256 !== tokenSha256) return refused("the token is not one of this node");
  if (Date.parse(enrolment.expiresAt) <= facts.nowMs) return refused("the token has expired");
  // The reply may have been lost: the same key may ask again.
  const isUsed = node?.status?.usedTokenSha256 === tokenSha256;
  if (isUsed && (node?.status?.publicKey !== facts.publicKey || wasRevoked(node))) {
    return refused("the token was used already");
  }
  return { isAllowed: true, usedTokenSha256: tokenSha256 };
}

export interface RenewalFacts {
  readonly publicKey: string;
  readonly isSignatureValid: boolean;
  /** When the request says that it was made. */
  readonly requestedAtMs: number;
  readonly node: AutoGLMNode | undefined;
  readonly nowMs: number;
}

const CLOCK_SKEW_MS = 5 * 60_000;

export function judgeRenewal({
  node,
  publicKey,
  isSignatureValid,
  requestedAtMs,
  nowMs,
}: RenewalFacts): Judgement {
  if (node?.status?.publicKey !== publicKey)
    return refused("the key is not the one that the node enrolled with");
  if (!isSignatureValid) return refused("the signature is wrong");
  if (!(Math.abs(nowMs - requestedAtMs) <= CLOCK_SKEW_MS))
    return refused("the clocks differ by more than 5 minutes");
  if (wasRevoked(node)) return refused("the node's credentials are revoked: enrol it anew");
  return { isAllowed: true, usedTokenSha256: undefined };
}

const refused = (because: string) => ({ isAllowed: false, because }) as const;
