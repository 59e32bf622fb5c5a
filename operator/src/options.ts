/** The only reader of `process.env` of the operator and the ingester: defaults, checks, one frozen value. */
import { hostname } from "node:os";
import { AutoglmError } from "@autoglm/api";
import { LOG_LEVELS } from "@autoglm/telemetry";
import { z } from "zod";

const port = z.coerce.number().int().min(0).max(65_535);
const seconds = z.coerce.number().positive();
const urls = z
  .string()
  .min(1)
  .transform((text) => text.split(",").map((url) => url.trim()));

const schema = z.object({
  AUTOGLM_ROLE: z.enum(["operator", "ingester", "all"]).default("all"),
  AUTOGLM_LOG_LEVEL: z.enum(LOG_LEVELS).default("info"),
  /** Absent: the service account of the pod. */
  AUTOGLM_KUBECONFIG: z.string().optional(),
  /** Where nats-server listens, as this process sees it. */
  AUTOGLM_NATS_URLS: urls.default(["nats://127.0.0.1:4222"]),
  /** As agents see it; default: the same. */
  AUTOGLM_NATS_PUBLIC_URLS: urls.optional(),
  /** Folder that `bus-init` wrote. */
  AUTOGLM_BUS_DIR: z.string().default("/etc/autoglm/bus"),
  AUTOGLM_STATE_DIR: z.string().default("/var/lib/autoglm-ingester"),
  AUTOGLM_MODEL_BLOBS_DIR: z.string().optional(),
  /** Where agents get models by digest; default: this process's own file server. */
  AUTOGLM_MODEL_SERVER_URL: z.url().optional(),
  AUTOGLM_RESULTS_HOST: z.string().default("0.0.0.0"),
  AUTOGLM_RESULTS_PORT: port.default(8443),
  AUTOGLM_ENROL_HOST: z.string().default("0.0.0.0"),
  AUTOGLM_ENROL_PORT: port.default(8444),
  /** `namespace:name` of the agents' ServiceAccount, whose node-bound tokens enrol; absent: one-time tokens alone. */
  AUTOGLM_AGENT_SERVICE_ACCOUNT: z
    .string()
    .regex(/^[a-z0-9-]+:[a-z0-9.-]+$/, "must be namespace:name")
    .optional(),
  AUTOGLM_HEALTH_HOST: z.string().default("0.0.0.0"),
  AUTOGLM_HEALTH_PORT: port.default(8081),
  /** A node that was silent for so long can't be reached. */
  AUTOGLM_HEARTBEAT_TIMEOUT_SECONDS: seconds.default(15),
  /** A node that was silent for so long is given up, unless its autonomy duration is longer. */
  AUTOGLM_NODE_PATIENCE_SECONDS: seconds.default(300),
  /** Least time between two writes of a status that only count on. */
  AUTOGLM_STATUS_INTERVAL_SECONDS: seconds.default(1),
  AUTOGLM_REWRITE_SECONDS: seconds.default(60),
  AUTOGLM_CREDENTIAL_DAYS: seconds.default(30),
  /** Raise it after the cluster was restored from a backup. */
  AUTOGLM_GENERATION: z.coerce.number().int().min(0).default(0),
  AUTOGLM_RESULTS_MAX_BYTES: z.coerce
    .number()
    .int()
    .min(2 ** 20)
    .optional(),
  AUTOGLM_KEEP_RUNS: z.coerce.number().int().min(1).optional(),
  /** Names this replica in events; default: the host name, which is the pod's. */
  AUTOGLM_INSTANCE: z.string().min(1).default(hostname()),
});

export type Options = Readonly<z.output<typeof schema>>;

/** @throws AutoglmError `InvalidOption`, naming the variable */
export function readOptions(env: NodeJS.ProcessEnv): Options {
  const set = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => name in schema.shape && value !== ""),
  );
  const parsed = schema.safeParse(set);
  if (parsed.success) return Object.freeze(parsed.data);
  const [issue] = parsed.error.issues;
  throw new AutoglmError("InvalidOption", `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}
