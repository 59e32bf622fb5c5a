/** Which node a projected ServiceAccount token is bound to, as the API server says. */
import { ENROL_AUDIENCE } from "@autoglm/api";
import { reviewToken, type KubeClient } from "@autoglm/kube";
import type { IdentifyToken } from "./enrol/server.ts";

const NODE_NAME = "authentication.kubernetes.io/node-name";

/** The claim is in tokens of pods since Kubernetes 1.30 (KEP-4193). */
export function identifyByTokenReview(client: KubeClient): IdentifyToken {
  return async (token) => {
    const user = await reviewToken(client, token, { audiences: [ENROL_AUDIENCE] });
    return user?.extra?.[NODE_NAME]?.[0];
  };
}
