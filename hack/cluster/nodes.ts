/** Node objects without a kubelet: what the scheduler of ours reads of a node, made Ready by hand. */
import { type KubeClient, type Node, NODES } from "@autoglm/kube";

export interface NodeOptions {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
  /** Quantities; also the node's capacity. Default: 4 CPUs, 8 GiB, 110 pods. */
  readonly allocatable?: Readonly<Record<string, string>>;
}

/** Creates it, or brings an existing one to this state. The Ready condition needs a write of its own to /status. */
export async function createNode(client: KubeClient, options: NodeOptions): Promise<Node> {
  const { name, labels, annotations, taints } = options;
  const allocatable = { cpu: "4", memory: "8Gi", pods: "110", ...options.allocatable };
  const identity = { apiVersion: "v1", kind: "Node", metadata: { name } } as const;
  const manager = { fieldManager: "autoglm-local-cluster" };
  await client.apply(
    NODES,
    {
      ...identity,
      metadata: {
        name,
        labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", ...labels },
        ...(annotations === undefined ? {} : { annotations }),
      },
      spec: taints === undefined ? {} : { taints },
    },
    manager,
  );
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  return client.applyStatus(
    NODES,
    {
      ...identity,
      status: {
        capacity: allocatable,
        allocatable,
        conditions: [
          {
            type: "Ready",
            status: "True",
            reason: "KubeletReady",
            message: "a node of the local cluster, without a kubelet",
            lastHeartbeatTime: now,
            lastTransitionTime: now,
          },
        ],
      },
    },
    manager,
  );
}
