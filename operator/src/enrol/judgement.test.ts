import type { AutoGLMNode } from "@autoglm/api";
import { NodeKey } from "@autoglm/bus";
import { describe, expect, it } from "vitest";
import { judgeEnrolment, judgeRenewal, type EnrolmentFacts, type RenewalFacts } from "./judgement.ts";
import { RequestRate } from "./request-rate.ts";
import { verifyNodeSignature } from "./signature.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");

function node(status: AutoGLMNode["status"] = {}, spec: Partial<AutoGLMNode["spec"]> = {}): AutoGLMNode {
  const enrolment = { tokenSha256: "hash", expiresAt: "2026-01-02T00:00:00Z" };
  return {
    apiVersion: "autoglm.io/v1alpha1",
    kind: "AutoGLMNode",
    metadata: { name: "n", uid: "n" },
    spec: { enrolment, ...spec },
    status,
  };
}

const enrolment = (change: Partial<EnrolmentFacts>) =>
  judgeEnrolment({
    nodeName: "n",
    nodeId: "n",
    publicKey: "U1",
    tokenSha256: "hash",
    tokenNodeName: undefined,
    node: node(),
    namesake: undefined,
    nowMs: NOW,
    ...change,
  });

describe("judgeEnrolment", () => {
  it("takes a token once, and again for the same key only", () => {
    expect(enrolment({})).toEqual({ isAllowed: true, usedTokenSha256: "hash" });
    const used = node({ usedTokenSha256: "hash", publicKey: "U1" });
    expect(enrolment({ node: used })).toMatchObject({ isAllowed: true });
    expect(enrolment({ node: used, publicKey: "U2" })).toMatchObject({
      isAllowed: false,
      because: "the token was used already",
    });
  });

  it("does not take a revoked node's token again, and no pod's token while the revocation stands", () => {
    const revoked = node(
      { usedTokenSha256: "hash", publicKey: "U1", enrolledAt: "2025-12-31T22:00:00Z" },
      { revokedBefore: "2025-12-31T23:00:00Z" },
    );
    expect(enrolment({ node: revoked })).toMatchObject({ isAllowed: false });
    expect(enrolment({ node: revoked, tokenNodeName: "n", tokenSha256: "x" })).toMatchObject({
      isAllowed: false,
    });
    const withNewToken = node(revoked.status, {
      ...revoked.spec,
      enrolment: { tokenSha256: "new", expiresAt: "2026-01-02T00:00:00Z" },
    });
    expect(enrolment({ node: withNewToken, tokenSha256: "new" })).toMatchObject({ isAllowed: true });
  });

  it.each([
    ["another token", { tokenSha256: "other" }],
    ["a node without a token", { node: node({}, { enrolment: undefined }) }],
    ["an unknown node", { node: undefined }],
    ["an expired token", { nowMs: Date.parse("2026-01-02T00:00:00Z") }],
    ["an id that is taken", { namesake: "other" }],
    ["a pod's token of another node", { tokenNodeName: "other" }],
  ])("refuses %s", (_, change) => {
    expect(enrolment(change)).toMatchObject({ isAllowed: false });
  });

  it("takes a pod's token that is bound to the node, object or not", () => {
    expect(enrolment({ tokenNodeName: "n", node: undefined, tokenSha256: "x" })).toMatchObject({
      isAllowed: true,
    });
  });
});

const renewal = (change: Partial<RenewalFacts>) =>
  judgeRenewal({
    publicKey: "U1",
    isSignatureValid: true,
    requestedAtMs: NOW,
    node: node({ publicKey: "U1", enrolledAt: "2026-01-01T00:00:00Z" }),
    nowMs: NOW,
    ...change,
  });

describe("judgeRenewal", () => {
  it("renews by the enrolled key", () => {
    expect(renewal({})).toMatchObject({ isAllowed: true });
  });

  it.each([
    ["another key", { publicKey: "U2" }],
    ["a wrong signature", { isSignatureValid: false }],
    ["an old request", { requestedAtMs: NOW - 300_001 }],
    ["a time that is none", { requestedAtMs: Number.NaN }],
    ["an unknown node", { node: undefined }],
    [
      "a revoked node",
      {
        node: node(
          { publicKey: "U1", enrolledAt: "2026-01-01T00:00:00Z" },
          { revokedBefore: "2026-01-01T00:00:00Z" },
        ),
      },
    ],
  ])("refuses %s", (_, change) => {
    expect(renewal(change)).toMatchObject({ isAllowed: false });
  });
});

describe("verifyNodeSignature", () => {
  it("tells the node's own signature from any other", () => {
    const key = NodeKey.generate();
    const bytes = new TextEncoder().encode("renew\nn\n2026");
    expect(verifyNodeSignature(key.publicKey, bytes, key.sign(bytes))).toBe(true);
    expect(verifyNodeSignature(NodeKey.generate().publicKey, bytes, key.sign(bytes))).toBe(false);
    expect(
      verifyNodeSignature(key.publicKey, new TextEncoder().encode("renew\nm\n2026"), key.sign(bytes)),
    ).toBe(false);
  });
});

describe("RequestRate", () => {
  it("lets each address make so many requests a minute", () => {
    let nowMs = 0;
    const rate = new RequestRate(2, () => nowMs);
    expect([rate.allows("a"), rate.allows("a"), rate.allows("a"), rate.allows("b")]).toEqual([
      true,
      true,
      false,
      true,
    ]);
    nowMs = 60_000;
    expect(rate.allows("a")).toBe(true);
  });
});
