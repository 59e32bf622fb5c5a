import { chunkSubject, encodeMessage, type Grant, parseChunkSubject, resultChunkSchema } from "@autoglm/api";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chunkSigningInput, signGrant, verifyChunk, verifyGrant } from "./grants.ts";
import { createBusKeys, publicKeysOf } from "./keys.ts";
import { NodeKey } from "./nkeys.ts";

const keys = createBusKeys();
const grantKey = publicKeysOf(keys).grant;
const nodeKey = NodeKey.generate();

const grants: fc.Arbitrary<Grant> = fc.record({
  task: fc.uuid(),
  run: fc.nat(999_999_999),
  shard: fc.nat(255),
  epoch: fc.integer({ min: 1, max: 999_999 }),
  node: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,79}$/),
  nodeKey: fc.constant(nodeKey.publicKey),
  namespace: fc.string({ maxLength: 63 }),
  name: fc.string({ maxLength: 253 }),
});

const example: Grant = {
  task: "7f0c3a52-5a51-4a3e-9f0e-3a1f7c1b2d3e",
  run: 0,
  shard: 0,
  epoch: 1,
  node: "node-a",
  nodeKey: nodeKey.publicKey,
  namespace: "demo",
  name: "reviews",
};

/** What the node of this grant would send. */
function sealed(grant: Grant, chunk: number) {
  const { task, run, epoch, shard, node } = grant;
  const subject = chunkSubject({ task, run, epoch, shard, node, chunk });
  const body = encodeMessage(resultChunkSchema, {
    v: 1,
    node,
    key: { task, run, epoch, shard },
    chunk,
    producedAt: "2026-01-01T00:00:00Z",
    items: [],
  });
  return {
    subject,
    body,
    grant: signGrant(keys, grant),
    signature: nodeKey.sign(chunkSigningInput(subject, body)),
  };
}

const refusal = expect.objectContaining({ code: "InvalidMessage", retry: "never" });

describe("a grant", () => {
  it("says what was signed", () => {
    fc.assert(
      fc.property(grants, (grant) => {
        expect(verifyGrant(grantKey, signGrant(keys, grant))).toEqual(grant);
      }),
    );
  });

  it("fits the 2 KiB of a document with the longest names", () => {
    const names = {
      task: "t".repeat(64),
      namespace: "n".repeat(63),
      name: "n".repeat(253),
      node: "n".repeat(80),
    };
    expect(signGrant(keys, { ...example, ...names }).length).toBeLessThanOrEqual(2048);
  });

  it("is void with any bit of what it says or of its signature changed", () => {
    fc.assert(
      fc.property(grants, fc.nat(), fc.nat(7), fc.nat(1), (grant, at, bit, part) => {
        const parts = signGrant(keys, grant)
          .split(".")
          .map((text) => Buffer.from(text, "base64url"));
        const target = parts[part];
        if (!target) throw new Error("a grant has two parts");
        const index = at % target.length;
        target[index] = (target[index] ?? 0) ^ (1 << bit);
        const spoilt = parts.map((bytes) => bytes.toString("base64url")).join(".");
        expect(() => verifyGrant(grantKey, spoilt)).toThrow(refusal);
      }),
    );
  });

  it("is void when somebody else signed it, and when it is no grant at all", () => {
    expect(() => verifyGrant(grantKey, signGrant(createBusKeys(), example))).toThrow(refusal);
    for (const text of ["", ".", "a.b", "a.b.c"]) expect(() => verifyGrant(grantKey, text)).toThrow(refusal);
  });
});

describe("a chunk", () => {
  it("is proved by grant and signature", () => {
    fc.assert(
      fc.property(grants, fc.nat(999_999), (grant, chunk) => {
        const proved = verifyChunk(grantKey, sealed(grant, chunk));
        expect(proved.grant).toEqual(grant);
        expect(proved.chunk.chunk).toBe(chunk);
      }),
    );
  });

  it("is refused under any other subject, even when the node signs for that", () => {
    const changed = fc.record(
      {
        node: fc.constant("another"),
        task: fc.constant("another"),
        run: fc.constant(7),
        epoch: fc.constant(8),
        shard: fc.constant(9),
        chunk: fc.constant(10),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(grants, changed, fc.boolean(), (grant, change, nodeSignsAgain) => {
        const chunk = sealed(grant, 0);
        const address = parseChunkSubject(chunk.subject);
        if (!address) throw new Error("sealed under a subject that is none");
        const subject = chunkSubject({ ...address, ...change });
        fc.pre(subject !== chunk.subject);
        const signature = nodeSignsAgain
          ? nodeKey.sign(chunkSigningInput(subject, chunk.body))
          : chunk.signature;
        expect(() => verifyChunk(grantKey, { ...chunk, subject, signature })).toThrow(refusal);
      }),
    );
  });

  it("is refused with another body, signature or key", () => {
    fc.assert(
      fc.property(grants, (grant) => {
        const chunk = sealed(grant, 0);
        const other = sealed(grant, 1);
        const stranger = NodeKey.generate().sign(chunkSigningInput(chunk.subject, chunk.body));
        expect(() => verifyChunk(grantKey, { ...chunk, body: other.body })).toThrow(refusal);
        expect(() => verifyChunk(grantKey, { ...chunk, signature: other.signature })).toThrow(refusal);
        expect(() => verifyChunk(grantKey, { ...chunk, signature: stranger })).toThrow(refusal);
        expect(() => verifyChunk(grantKey, { ...chunk, signature: new Uint8Array() })).toThrow(refusal);
        expect(() => verifyChunk(grantKey, { ...chunk, subject: "res.x" })).toThrow(refusal);
      }),
    );
  });
});
