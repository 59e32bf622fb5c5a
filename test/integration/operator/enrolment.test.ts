import { createHash } from "node:crypto";
import { API_VERSION, enrolmentReplySchema } from "@autoglm/api";
import { connectBus, NodeKey } from "@autoglm/bus";
import { MemoryObjectStore } from "@autoglm/operator";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { until } from "../../support/cluster.ts";
import { enrol } from "./fake-agent.ts";
import { Harness, holds } from "./harness.ts";

let harness: Harness;
let store: MemoryObjectStore;
let url: string;

beforeEach(async () => {
  store = new MemoryObjectStore();
  harness = await Harness.start({
    openStore: () => store,
    target: { apply: (manifest) => void store.apply(manifest) },
    identifyToken: async (token) => (token === "header.payload-of-edge-9.signature" ? "edge-9" : undefined),
  });
  url = harness.plane.enrolUrl ?? "";
});

afterEach(async () => {
  await harness.stop();
});

const post = async (path: string, body: unknown) => {
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return {
    status: response.status,
    body: (await response.json()) as { readonly code?: string; readonly message?: string },
  };
};

describe("enrolment", () => {
  it("takes a token once, even of two requests at once, and the user that it gives is good for the bus", async () => {
    const token = await harness.issueToken("edge.one");
    const keys = [NodeKey.generate(), NodeKey.generate()] as const;
    const answers = await Promise.all(
      keys.map(({ publicKey }) => post("/enrol", { nodeName: "edge.one", publicKey, token })),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 403]);
    expect(answers.find(({ status }) => status === 403)?.body).toEqual({
      code: "EnrolmentRefused",
      message: "the token was used already",
    });
    const winner = answers[0]?.status === 200 ? 0 : 1;
    const reply = enrolmentReplySchema.parse(answers[winner]?.body);
    expect(reply.nodeId).toMatch(/^edge-one--[0-9a-f]{16}$/);
    expect(store.get("AutoGLMNode", "edge.one")?.status).toMatchObject({
      nodeId: reply.nodeId,
      publicKey: keys[winner]?.publicKey,
      usedTokenSha256: createHash("sha256").update(token).digest("hex"),
    });
    const seed = keys[winner]?.seed ?? "";
    const connection = await connectBus({ urls: reply.natsUrls, name: "edge", jwt: reply.jwt, seed });
    expect(connection.isConnected()).toBe(true);
    await connection.close();
    // The reply may have been lost: the same key may ask again.
    await enrol(url, "edge.one", keys[winner]?.publicKey ?? "", token);
  });

  it("makes the node of a pod whose token is bound to it", async () => {
    const { publicKey } = NodeKey.generate();
    const token = "header.payload-of-edge-9.signature";
    expect((await post("/enrol", { nodeName: "edge-8", publicKey, token })).status).toBe(403);
    expect(store.get("AutoGLMNode", "edge-8")).toBeUndefined();
    expect((await enrol(url, "edge-9", publicKey, token)).nodeId).toBe("edge-9");
    expect(store.get("AutoGLMNode", "edge-9")?.status?.publicKey).toBe(publicKey);
  });

  it("renews by signature, and no longer once the node is revoked", async () => {
    const token = await harness.issueToken("edge-1");
    const key = NodeKey.generate();
    const { nodeId } = await enrol(url, "edge-1", key.publicKey, token);
    const signed = (signer: NodeKey) => {
      const time = new Date().toISOString();
      const signature = Buffer.from(signer.sign(Buffer.from(`renew\n${nodeId}\n${time}`))).toString("base64");
      return { nodeId, publicKey: key.publicKey, time, signature };
    };
    const renewed = await post("/renew", signed(key));
    expect(renewed.status).toBe(200);
    expect(enrolmentReplySchema.parse(renewed.body).nodeId).toBe(nodeId);
    expect((await post("/renew", signed(NodeKey.generate()))).body.message).toBe("the signature is wrong");
    revoke("edge-1");
    expect((await post("/renew", signed(key))).body).toMatchObject({ code: "EnrolmentRefused" });
  });

  it("says what is wrong with a request", async () => {
    expect(
      await post("/enrol", { nodeName: "x", publicKey: "nonsense", token: "t".repeat(20) }),
    ).toMatchObject({
      status: 400,
      body: { code: "Invalid", message: expect.stringContaining("publicKey") as unknown },
    });
  });

  it("cuts off a revoked node and moves its work at a higher epoch", async () => {
    await harness.model("zh-sentiment", ["text-classification"]);
    const agent = await harness.agent({ nodeName: "a-edge", tier: "4Gi", pauseAfterItems: 1 });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: ["a", "b", "c"] } });
    await until(() => harness.read("reviews")?.status?.items?.accepted === 1);
    await harness.agent({ nodeName: "b-edge", tier: "4Gi" });
    revoke("a-edge");
    const task = await until(() => {
      const read = harness.read("reviews");
      return holds(read, "Complete") && read;
    });
    expect(task.status?.placements).toMatchObject([{ node: "b-edge", epoch: 2 }]);
    await agent.stop();
    const again = await connectBus({
      urls: agent.reply.natsUrls,
      name: "revoked",
      jwt: agent.reply.jwt,
      seed: agent.key.seed,
      background: true,
    });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(again.isConnected()).toBe(false);
    await again.close();
  });
});

function revoke(name: string): void {
  const node = store.get("AutoGLMNode", name);
  const revokedBefore = new Date(Date.now() + 1000).toISOString();
  store.apply({
    apiVersion: API_VERSION,
    kind: "AutoGLMNode",
    metadata: { name },
    spec: { ...node?.spec, revokedBefore },
  });
}
