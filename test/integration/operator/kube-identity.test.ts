import { ENROL_AUDIENCE } from "@autoglm/api";
import { NODES } from "@autoglm/kube";
import { identifyByTokenReview } from "@autoglm/operator";
import { execa } from "execa";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createNode } from "../../../hack/cluster/nodes.ts";
import { createNamespace, sharedCluster, type TestCluster } from "../../support/cluster.ts";

const NODE = "identity-edge-1";
let cluster: TestCluster;
let namespace: string;

beforeAll(async () => {
  cluster = await sharedCluster();
  namespace = await createNamespace(cluster.client);
  await createNode(cluster.client, { name: NODE });
  for (const account of ["agent", "other"]) await kubectl("create", "serviceaccount", account);
});
afterAll(async () => {
  await cluster.client.delete(NODES, { name: NODE });
  await cluster.stop();
});

const kubectl = (...args: string[]) =>
  execa(cluster.kubectl, ["--kubeconfig", cluster.kubeconfigPath, "-n", namespace, ...args]);

async function tokenOf(account: string, audience: string = ENROL_AUDIENCE): Promise<string> {
  const { uid } = (await cluster.client.get(NODES, { name: NODE })).metadata;
  const bound = ["--bound-object-kind", "Node", "--bound-object-name", NODE, "--bound-object-uid", uid ?? ""];
  const { stdout } = await kubectl("create", "token", account, "--audience", audience, ...bound);
  return stdout;
}

it("knows the node of a token that the agents' ServiceAccount has there", async () => {
  const identify = identifyByTokenReview(cluster.client, `${namespace}:agent`);
  expect(await identify(await tokenOf("agent"))).toBe(NODE);
});

it("does not take another ServiceAccount's token on the same node for the node's", async () => {
  const identify = identifyByTokenReview(cluster.client, `${namespace}:agent`);
  expect(await identify(await tokenOf("other"))).toBeUndefined();
});

it("does not take a token of the agents that was made for somebody else", async () => {
  const identify = identifyByTokenReview(cluster.client, `${namespace}:agent`);
  expect(await identify(await tokenOf("agent", "somebody-else"))).toBeUndefined();
});

it("takes no token where no ServiceAccount is named", async () => {
  expect(await identifyByTokenReview(cluster.client, undefined)(await tokenOf("agent"))).toBeUndefined();
});
