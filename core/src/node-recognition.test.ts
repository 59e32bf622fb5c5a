import { describe, expect, it } from "vitest";
import { recogniseNode, type RecognitionFacts } from "./node-recognition.ts";

const recognise = (facts: Partial<RecognitionFacts>) =>
  recogniseNode({ labels: {}, isKubernetesNode: true, ...facts });

describe("recogniseNode", () => {
  it.each([
    [{}, { flavour: "Kubernetes", location: "cloud" }],
    [{ isKubernetesNode: false }, { flavour: "Standalone", location: "edge" }],
    [{ labels: { "node.kubernetes.io/instance-type": "k3s" } }, { flavour: "K3s", location: "edge" }],
    [{ labels: { "openyurt.io/is-edge-worker": "false" } }, { flavour: "OpenYurt", location: "cloud" }],
    [
      { labels: { "apps.openyurt.io/nodepool": "hangzhou" }, poolTypes: { hangzhou: "Edge" } },
      { flavour: "OpenYurt", location: "edge", pool: "hangzhou" },
    ],
    [
      { declaredLocation: "edge", declaredPool: "line-2" },
      { flavour: "Kubernetes", location: "edge", pool: "line-2" },
    ],
    [
      {
        labels: { "autoglm.io/location": "cloud", "openyurt.io/is-edge-worker": "true" },
        declaredLocation: "edge",
      },
      { flavour: "OpenYurt", location: "cloud" },
    ],
    [
      {
        labels: { "apps.openyurt.io/nodepool": "cloud-1" },
        declaredPool: "mine",
        poolTypes: { "cloud-1": "Cloud" },
      },
      { flavour: "OpenYurt", location: "cloud", pool: "cloud-1" },
    ],
  ] as const)("recognises %j", (facts, expected) => {
    expect(recognise(facts)).toEqual(expected);
  });
});
