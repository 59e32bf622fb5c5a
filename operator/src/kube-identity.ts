/** Which node a projected ServiceAccount token of an agent is bound to, as the API server says. */
import { ENROL_AUDIENCE } from "@autoglm/api";
import { reviewToken, type KubeClient } from "@autoglm/kube";
import type { IdentifyToken } from "./enrol/server.ts";

const NODE_NAME = "authentication.kubernetes.io/node-name";

/**
 * The claim is in tokens of pods since Kubernetes 1.30 (KEP-4193). Only the agents' own ServiceAccount counts: whoever may
 * create a pod gets a token bound to its node, with any audience, and must not become that node by it.
 * @param agentServiceAccount `namespace:name`; undefined: no ServiceAccount enrols
 */
export function identifyByTokenReview(
  client: KubeClient,
  agentServiceAccount: string | undefined,
): IdentifyToken {
  if (agentServiceAccount === undefined) return async () => undefined;
  const username = `system:serviceaccount:${agentServiceAccount}`;
  return async (token) => {
    const user = await reviewToken(client, token, { audiences: [ENROL_AUDIENCE] });
    return user?.username === username ? user.extra?.[NODE_NAME]?.[0] : undefined;
  };
}
