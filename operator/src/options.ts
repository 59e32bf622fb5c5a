/**
 * The only reader of `process.env` of the operator and the ingester: defaults, checks, one frozen value.
 * {@link OPERATOR_VARIABLES} is also what docs/reference/operator-options.md is made from.
 */
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

export const OPERATOR_VARIABLES = {
  AUTOGLM_ROLE: z
    .enum(["operator", "ingester", "all"])
    .default("all")
    .describe("`operator`, `ingester`, or `all`: both in one process."),
  AUTOGLM_LOG_LEVEL: z.enum(LOG_LEVELS).default("info").describe("Least level of what is logged."),
  AUTOGLM_KUBECONFIG: z
    .string()
    .optional()
    .describe("Kubeconfig file. Default: the ServiceAccount of the pod."),
  AUTOGLM_NATS_URLS: urls
    .prefault("nats://127.0.0.1:4222")
    .describe("Where nats-server listens, as this process sees it; several with commas."),
  AUTOGLM_NATS_PUBLIC_URLS: urls
    .optional()
    .describe("The same as agents see it. Default: as this process sees it."),
  AUTOGLM_BUS_DIR: z.string().default("/etc/autoglm/bus").describe("Folder that `bus-init` wrote."),
  AUTOGLM_STATE_DIR: z.string().default("/var/lib/autoglm-ingester").describe("Folder of the result store."),
  AUTOGLM_MODEL_BLOBS_DIR: z
    .string()
    .optional()
    .describe("Folder of model files that agents get by digest, and that `autoglm models push` puts there."),
  AUTOGLM_MODEL_SERVER_URL: z
    .url()
    .optional()
    .describe("Where agents get models by digest. Default: this process's own file server."),
  AUTOGLM_RESULTS_HOST: z.string().default("0.0.0.0").describe("Address of the results API."),
  AUTOGLM_RESULTS_PORT: port.default(8443).describe("Port of the results API."),
  AUTOGLM_ENROL_HOST: z.string().default("0.0.0.0").describe("Address of the enrolment port."),
  AUTOGLM_ENROL_PORT: port.default(8444).describe("Port on which agents enrol."),
  AUTOGLM_AGENT_SERVICE_ACCOUNT: z
    .string()
    .regex(/^[a-z0-9-]+:[a-z0-9.-]+$/, "must be namespace:name")
    .optional()
    .describe(
      "`namespace:name` of the agents' ServiceAccount, whose node-bound tokens enrol. Without it one-time tokens alone do.",
    ),
  AUTOGLM_HEALTH_HOST: z
    .string()
    .default("0.0.0.0")
    .describe("Address that health and metrics are served on."),
  AUTOGLM_HEALTH_PORT: port.default(8081).describe("Port of health and metrics."),
  AUTOGLM_HEARTBEAT_TIMEOUT_SECONDS: seconds
    .default(15)
    .describe("A node that was silent for so long can't be reached."),
  AUTOGLM_NODE_PATIENCE_SECONDS: seconds
    .default(300)
    .describe("A node that was silent for so long is given up, unless its autonomy duration is longer."),
  AUTOGLM_STATUS_INTERVAL_SECONDS: seconds
    .default(1)
    .describe("Least time between two writes of a status that only count on."),
  AUTOGLM_REWRITE_SECONDS: seconds
    .default(60)
    .describe(
      "How often everything on the bus is compared with what it should be, and written again where it differs.",
    ),
  AUTOGLM_CREDENTIAL_DAYS: seconds.default(30).describe("How long the credentials of a node are valid."),
  AUTOGLM_GENERATION: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    .describe("Raise it after the cluster was restored from a backup."),
  AUTOGLM_RESULTS_MAX_BYTES: z.coerce
    .number()
    .int()
    .min(2 ** 20)
    .optional()
    .describe("Most bytes of results that the bus holds for the ingester. Default: 1 GiB."),
  AUTOGLM_KEEP_RUNS: z.coerce
    .number()
    .int()
    .min(1)
    .optional()
    .describe("Finished runs of a task whose results are kept. Default: 10."),
  AUTOGLM_INSTANCE: z
    .string()
    .min(1)
    .default(hostname())
    .describe("Names this replica in events. Default: the host name, which is the pod's."),
} as const;
const schema = z.object(OPERATOR_VARIABLES);

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
