/** The four agents of `make demo` and `make up`: one per tier at the edge, and a cloud node. */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { freePort, type ProcessRecord, startProcess } from "../cluster/processes.ts";

export interface FleetNode {
  readonly name: string;
  readonly location: "edge" | "cloud";
  readonly pool: string;
  /** RAM that stands in for GPU memory on a machine without a GPU. */
  readonly memoryBudget: string;
  /** Labels of the Kubernetes Node on `make up`: each node says its tier in another way. */
  readonly labels: Readonly<Record<string, string>>;
}

export const FLEET: readonly FleetNode[] = [
  {
    name: "edge-4g",
    location: "edge",
    pool: "workshop",
    memoryBudget: "4Gi",
    labels: { "node.kubernetes.io/instance-type": "k3s", "autoglm.io/tier": "4Gi" },
  },
  {
    name: "edge-6g",
    location: "edge",
    pool: "hangzhou",
    memoryBudget: "6Gi",
    labels: {
      "apps.openyurt.io/nodepool": "hangzhou",
      "openyurt.io/is-edge-worker": "true",
      "nvidia.com/gpu.memory": "6144",
    },
  },
  {
    name: "edge-8g",
    location: "edge",
    pool: "hangzhou",
    memoryBudget: "8Gi",
    labels: {
      "apps.openyurt.io/nodepool": "hangzhou",
      "openyurt.io/is-edge-worker": "true",
      "nvidia.com/gpu.memory": "8188",
    },
  },
  {
    name: "cloud-8g",
    location: "cloud",
    pool: "cloud-gpu",
    memoryBudget: "16Gi",
    labels: { "autoglm.io/location": "cloud" },
  },
];

/** A one-time token and what the node object holds of it. */
export function newEnrolment(now: Date): {
  token: string;
  enrolment: { tokenSha256: string; expiresAt: string };
} {
  const token = randomBytes(32).toString("base64url");
  const expiresAt = new Date(now.getTime() + 3600_000).toISOString();
  return { token, enrolment: { tokenSha256: createHash("sha256").update(token).digest("hex"), expiresAt } };
}

export interface AgentStart {
  /** Main file of the agent's bundle. */
  readonly main: string;
  readonly node: FleetNode;
  readonly stateDir: string;
  readonly dataRoot: string;
  readonly enrolUrl: string;
  readonly token: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts an agent as a process of its own, with its own state folder; ready when its health port says so. */
export async function startAgentProcess(options: AgentStart): Promise<ProcessRecord> {
  const { main, node, stateDir, dataRoot, enrolUrl, token, env } = options;
  const port = await freePort();
  const agentDir = join(stateDir, "agents", node.name);
  mkdirSync(agentDir, { recursive: true });
  return startProcess({
    name: `agent-${node.name}`,
    command: process.execPath,
    args: [main],
    stateDir,
    env: {
      AUTOGLM_NODE_NAME: node.name,
      AUTOGLM_STATE_DIR: agentDir,
      AUTOGLM_DATA_ROOT: resolve(dataRoot),
      AUTOGLM_ENROL_URL: enrolUrl,
      AUTOGLM_ENROL_TOKEN: token,
      AUTOGLM_LOCATION: node.location,
      AUTOGLM_POOL: node.pool,
      AUTOGLM_MEMORY_BUDGET: node.memoryBudget,
      AUTOGLM_HEALTH_HOST: "127.0.0.1",
      AUTOGLM_HEALTH_PORT: String(port),
      ...env,
    },
    readyWhen: async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok,
  });
}
