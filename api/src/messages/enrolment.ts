import { z } from "zod";
import { nodeIdSchema, objectNameSchema } from "./documents.ts";

/** `POST /enrol` of the operator. */
export const enrolmentRequestSchema = z.object({
  nodeName: objectNameSchema,
  /** nkey public key of the node, U…; its seed never leaves the node. */
  publicKey: z.string().regex(/^U[A-Z2-7]{55}$/),
  /** One-time token, or a ServiceAccount token bound to the node with the audience `autoglm.io/enrol`. */
  token: z.string().min(16).max(8192),
});
export type EnrolmentRequest = z.infer<typeof enrolmentRequestSchema>;

export const enrolmentReplySchema = z.object({
  nodeId: nodeIdSchema,
  /** User JWT for the bus. */
  jwt: z.string(),
  natsUrls: z.array(z.string()).min(1),
  /** Where models come from by digest: `<url>/models/sha256/<digest>`. */
  modelServerUrl: z.string(),
  /** When the JWT ends; the agent renews long before. */
  expiresAt: z.iso.datetime(),
});
export type EnrolmentReply = z.infer<typeof enrolmentReplySchema>;

/** `POST /renew` of the operator, answered like an enrolment: the enrolled key signs {@link renewalText}. */
export const renewalRequestSchema = z.object({
  nodeId: nodeIdSchema,
  publicKey: z.string().regex(/^U[A-Z2-7]{55}$/),
  /** The operator refuses one that is minutes away from its own clock. */
  time: z.iso.datetime(),
  /** base64. */
  signature: z.string().max(256),
});
export type RenewalRequest = z.infer<typeof renewalRequestSchema>;

/** UTF-8 bytes that a renewal's signature covers. */
export function renewalText({ nodeId, time }: Pick<RenewalRequest, "nodeId" | "time">): Uint8Array {
  return new TextEncoder().encode(`renew\n${nodeId}\n${time}`);
}

/** Audience of ServiceAccount tokens that enrol. */
export const ENROL_AUDIENCE = "autoglm.io/enrol";
