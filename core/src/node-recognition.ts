/** What manages a node, on which side it is, and in which pool: read from names of others, never written. */
import {
  LABEL_INSTANCE_TYPE,
  LABEL_LOCATION,
  LABEL_OPENYURT_EDGE_WORKER,
  LABEL_OPENYURT_POOL,
  type NodeStatus,
} from "@autoglm/api";
import type { Labels } from "./tier.ts";

export type Location = NonNullable<NodeStatus["location"]>;
export type Flavour = NonNullable<NodeStatus["flavour"]>;

export interface RecognitionFacts {
  /** Labels of the Kubernetes Node and of the AutoGLMNode together. */
  readonly labels: Labels;
  readonly isKubernetesNode: boolean;
  /** What the agent declares. */
  readonly declaredLocation?: Location | undefined;
  readonly declaredPool?: string | undefined;
  /** `spec.type` of OpenYurt's node pools by name, where they exist. */
  readonly poolTypes?: Readonly<Record<string, string>>;
}

export interface NodeRecognition {
  readonly location: Location;
  readonly pool?: string;
  readonly flavour: Flavour;
}

export function recogniseNode(facts: RecognitionFacts): NodeRecognition {
  const pool = facts.labels[LABEL_OPENYURT_POOL] ?? facts.declaredPool;
  return {
    location: locationOf(facts),
    flavour: flavourOf(facts),
    ...(pool === undefined ? {} : { pool }),
  };
}

function flavourOf({ labels, isKubernetesNode }: RecognitionFacts): Flavour {
  if (!isKubernetesNode) return "Standalone";
  if (LABEL_OPENYURT_POOL in labels || LABEL_OPENYURT_EDGE_WORKER in labels) return "OpenYurt";
  return labels[LABEL_INSTANCE_TYPE] === "k3s" ? "K3s" : "Kubernetes";
}

/**
 * The administrator's label first, then OpenYurt's (on the node, then on its pool), then the agent's own word.
 * Without any of them a node of a plain cluster is taken for the cloud, a K3s node or one without a cluster for the edge.
 */
function locationOf(facts: RecognitionFacts): Location {
  const { labels, poolTypes = {} } = facts;
  const label = labels[LABEL_LOCATION];
  if (label === "edge" || label === "cloud") return label;
  const edgeWorker = labels[LABEL_OPENYURT_EDGE_WORKER];
  if (edgeWorker === "true") return "edge";
  if (edgeWorker === "false") return "cloud";
  const pool = labels[LABEL_OPENYURT_POOL];
  const poolType = pool === undefined ? undefined : poolTypes[pool]?.toLowerCase();
  if (poolType === "edge" || poolType === "cloud") return poolType;
  return facts.declaredLocation ?? (flavourOf(facts) === "Kubernetes" ? "cloud" : "edge");
}
