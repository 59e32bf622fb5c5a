/** The only reader of the environment. {@link AGENT_VARIABLES} is also what docs/reference/agent-options.md is made from. */
import { hostname } from "node:os";
import { AutoglmError, heartbeatSchema, parseQuantityBytes, QUANTITY_PATTERN } from "@autoglm/api";
import { LOG_LEVELS } from "@autoglm/telemetry";
import { z } from "zod";
import { parseAllowedHosts, type AllowedHosts, type ObjectStoreOptions } from "./inputs/index.ts";
import { availableCores } from "./probe/cores.ts";

const PERFORMANCE_HINTS = ["throughput", "latency"] as const;

const quantity = z
  .string()
  .regex(new RegExp(QUANTITY_PATTERN), "must be an amount of memory such as 512Mi or 4Gi")
  .transform(parseQuantityBytes);
const seconds = z.coerce
  .number({ error: "must be a number of seconds" })
  .positive()
  .max(30 * 86_400)
  .transform((value) => value * 1000);
const address = z.string().regex(/^https?:\/\//, "must begin with http:// or https://");

/** Name → what it may be. What users set first; what only tests and odd sites set last. */
export const AGENT_VARIABLES = {
  AUTOGLM_NODE_NAME: heartbeatSchema.shape.nodeName
    .default(hostname().toLowerCase())
    .describe(
      "Name of the node, as Kubernetes or `autoglm nodes enrol` knows it. Default: the name of the host.",
    ),
  AUTOGLM_STATE_DIR: z
    .string()
    .min(1)
    .default("/var/lib/autoglm")
    .describe("Folder for the node's key, outbox and models; one process at a time."),
  AUTOGLM_DATA_ROOT: z
    .string()
    .min(1)
    .default("/var/lib/autoglm-data")
    .describe("Folder that files of tasks lie below."),
  AUTOGLM_INPUT_HOSTS: z
    .string()
    .transform(parseAllowedHosts)
    .prefault("")
    .describe(
      "Hosts that `url` inputs may be read from: names, `*.names`, addresses, ranges, with commas; none by default. A name opens public addresses alone; a private one is listed by its number.",
    ),
  AUTOGLM_INPUT_LIMIT: quantity
    .prefault("16Gi")
    .describe("Largest document that is read from a url or an object store."),
  AUTOGLM_OBJECT_STORE_URL: address
    .optional()
    .describe("S3-compatible store of `objectRef` inputs. It and the two key files go together."),
  AUTOGLM_OBJECT_STORE_REGION: z
    .string()
    .min(1)
    .default("us-east-1")
    .describe("Region that requests to the store are signed for."),
  AUTOGLM_OBJECT_STORE_ACCESS_KEY_FILE: z
    .string()
    .min(1)
    .optional()
    .describe("File with the store's access key."),
  AUTOGLM_OBJECT_STORE_SECRET_KEY_FILE: z
    .string()
    .min(1)
    .optional()
    .describe("File with the store's secret key."),
  AUTOGLM_ENDPOINT_KEYS_DIR: z
    .string()
    .min(1)
    .optional()
    .describe("Folder with a file for each key of an endpoint, named as `keyName` of the model's variant."),
  AUTOGLM_SITE_LIMIT: quantity
    .prefault("10Gi")
    .describe("Results of SiteOnly tasks are kept on the node up to this."),
  AUTOGLM_ENROL_URL: address
    .optional()
    .describe("Address of the operator's enrolment port; not needed once the node is enrolled."),
  AUTOGLM_ENROL_TOKEN: z
    .string()
    .min(16, "must be a token of at least 16 characters")
    .optional()
    .describe("One-time token of `autoglm nodes enrol`, at least 16 characters."),
  AUTOGLM_ENROL_TOKEN_FILE: z
    .string()
    .min(1)
    .optional()
    .describe("File with that token, or with the token of the node's own ServiceAccount."),
  AUTOGLM_MEMORY_BUDGET: quantity
    .optional()
    .describe("RAM for models on a node without a GPU, such as 6Gi. Default: half of the machine's RAM."),
  AUTOGLM_LOCATION: z
    .enum(["edge", "cloud"], { error: "must be edge or cloud" })
    .optional()
    .describe("`edge` or `cloud`, where the labels of the node don't say it."),
  AUTOGLM_POOL: heartbeatSchema.shape.pool.describe("Pool of the node, where its labels don't say it."),
  AUTOGLM_THREADS: z.coerce
    .number({ error: "must be a number of cores" })
    .int()
    .min(1)
    .max(1024)
    .default(availableCores())
    .describe("Cores for inference. Default: those that the container may use."),
  AUTOGLM_EXECUTION_PROVIDERS: z
    .string()
    .transform((text) => text.split(",").map((name) => name.trim()))
    .pipe(z.array(z.enum(["cpu", "cuda"], { error: "must be cpu, cuda, or both with a comma" })).min(1))
    .prefault("cpu")
    .describe("`cpu`, `cuda`, or both with a comma: tried in this order."),
  AUTOGLM_PERFORMANCE_HINT: z
    .enum(PERFORMANCE_HINTS, { error: `must be ${PERFORMANCE_HINTS.join(" or ")}` })
    .default("throughput")
    .describe(
      "What the processes of a model are laid out for: `throughput`, many requests at once, or `latency`, one at a time as fast as it goes.",
    ),
  AUTOGLM_HEALTH_HOST: z
    .string()
    .min(1)
    .default("0.0.0.0")
    .describe("Address that health and metrics are served on."),
  AUTOGLM_HEALTH_PORT: z.coerce
    .number({ error: "must be a port, 0 to 65535" })
    .int()
    .min(0)
    .max(65_535)
    .default(8080)
    .describe("Port of health and metrics; 0 picks a free one."),
  AUTOGLM_OUTBOX_LIMIT: quantity
    .prefault("1Gi")
    .describe("Results that are not accepted yet may take so much room; beyond it the work waits."),
  AUTOGLM_MODELS_LIMIT: quantity
    .prefault("20Gi")
    .describe("Model files that no task wants are kept up to this."),
  AUTOGLM_LOG_LEVEL: z
    .enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(", ")}` })
    .default("info")
    .describe("Least level of what is logged."),
  AUTOGLM_HEARTBEAT_SECONDS: seconds
    .prefault(5)
    .describe("How often the node says that it lives, and what it has."),
  AUTOGLM_RESYNC_SECONDS: seconds
    .prefault(30)
    .describe("How often the desired document is fetched without a poke."),
  AUTOGLM_REPUBLISH_SECONDS: seconds
    .prefault(5)
    .describe("After how long a chunk that was sent and is not accepted is sent again."),
  AUTOGLM_SEAL_SECONDS: seconds
    .prefault(0.25)
    .describe("Results wait at most this long for others to share their chunk."),
  AUTOGLM_UNLISTED_RETENTION_SECONDS: seconds
    .prefault(86_400)
    .describe("How long results of a withdrawn assignment are kept."),
  AUTOGLM_DRAIN_SECONDS: seconds.prefault(5).describe("How long a drain tries to send what is left."),
  AUTOGLM_ITEM_TIMEOUT_SECONDS: seconds
    .optional()
    .describe("Longest silence of an inference before its process is killed. Default: 60."),
  AUTOGLM_HTTP_PORT: z.coerce
    .number({ error: "must be a port, 0 to 65535" })
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .describe(
      "Port of the node's own inference API. Without one an agent has none; `autoglm-agent serve` takes 8081.",
    ),
  AUTOGLM_HTTP_HOST: z
    .string()
    .min(1)
    .default("127.0.0.1")
    .describe("Address of that port. Beyond this machine only with a token."),
  AUTOGLM_HTTP_TOKEN: z
    .string()
    .min(16, "must be a token of at least 16 characters")
    .optional()
    .describe("Bearer token that requests have to bring, at least 16 characters."),
  AUTOGLM_HTTP_TOKEN_FILE: z.string().min(1).optional().describe("File with that token."),
  AUTOGLM_REQUEST_LIMIT: quantity.prefault("16Mi").describe("Largest body of a request."),
  AUTOGLM_REQUEST_TIMEOUT_SECONDS: seconds.prefault(60).describe("Longest wait of a request for a process."),
  AUTOGLM_QUEUE_LIMIT: z.coerce
    .number({ error: "must be a number of requests" })
    .int()
    .min(1)
    .max(1_000_000)
    .default(1024)
    .describe("Requests that may wait for one model; more are told to come back later."),
  AUTOGLM_CONNECTION_LIMIT: z.coerce
    .number({ error: "must be a number of connections" })
    .int()
    .min(1)
    .max(1_000_000)
    .default(4096)
    .describe("Open connections of the inference port; one more is closed at once."),
  AUTOGLM_SERVE_DIR: z
    .string()
    .min(1)
    .optional()
    .describe("Folder of models that are served, as `<model>/[<variant>/]{model.onnx,pipeline.json}`."),
} as const;
const variablesSchema = z.object(AGENT_VARIABLES);

export interface AgentOptions {
  readonly nodeName: string;
  readonly stateDir: string;
  readonly dataRoot: string;
  readonly inputHosts: AllowedHosts;
  readonly inputLimitBytes: number;
  /** undefined: objectRef inputs are refused. */
  readonly objectStore: ObjectStoreOptions | undefined;
  readonly endpointKeysDir: string | undefined;
  readonly siteLimitBytes: number;
  readonly enrolUrl: string | undefined;
  readonly enrolToken: string | undefined;
  readonly enrolTokenFile: string | undefined;
  readonly memoryBudgetBytes: number | undefined;
  readonly location: "edge" | "cloud" | undefined;
  readonly pool: string | undefined;
  readonly threads: number;
  readonly executionProviders: readonly ("cpu" | "cuda")[];
  readonly performanceHint: (typeof PERFORMANCE_HINTS)[number];
  readonly healthHost: string;
  /** 0 picks a free one. */
  readonly healthPort: number;
  readonly outboxLimitBytes: number;
  readonly modelsLimitBytes: number;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly heartbeatMs: number;
  readonly resyncMs: number;
  readonly republishMs: number;
  readonly sealIntervalMs: number;
  readonly unlistedRetentionMs: number;
  readonly drainMs: number;
  readonly itemTimeoutMs: number | undefined;
  readonly http: HttpOptions;
}

/** Of the inference port. */
export interface HttpOptions {
  /** 0 picks a free one; undefined: there is none. */
  readonly port: number | undefined;
  readonly host: string;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly requestLimitBytes: number;
  readonly timeoutMs: number;
  readonly connectionLimit: number;
  readonly queueLimit: number;
  readonly serveDir: string | undefined;
}

/**
 * Options from variables such as those of the environment; an empty one counts as not set.
 * @throws AutoglmError `InvalidOption`, naming the variable and what it may be
 */
export function parseAgentOptions(environment: Readonly<Record<string, string | undefined>>): AgentOptions {
  const given = Object.entries(environment).filter(
    ([name, value]) => name in AGENT_VARIABLES && value !== "",
  );
  const parsed = variablesSchema.safeParse(Object.fromEntries(given));
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${String(path[0])}: ${message}`);
    throw new AutoglmError("InvalidOption", problems.join("; "), { cause: parsed.error });
  }
  const variables = parsed.data;
  return Object.freeze({
    nodeName: variables.AUTOGLM_NODE_NAME,
    stateDir: variables.AUTOGLM_STATE_DIR,
    dataRoot: variables.AUTOGLM_DATA_ROOT,
    inputHosts: variables.AUTOGLM_INPUT_HOSTS,
    inputLimitBytes: variables.AUTOGLM_INPUT_LIMIT,
    objectStore: objectStoreOf(variables),
    endpointKeysDir: variables.AUTOGLM_ENDPOINT_KEYS_DIR,
    siteLimitBytes: variables.AUTOGLM_SITE_LIMIT,
    enrolUrl: variables.AUTOGLM_ENROL_URL,
    enrolToken: variables.AUTOGLM_ENROL_TOKEN,
    enrolTokenFile: variables.AUTOGLM_ENROL_TOKEN_FILE,
    memoryBudgetBytes: variables.AUTOGLM_MEMORY_BUDGET,
    location: variables.AUTOGLM_LOCATION,
    pool: variables.AUTOGLM_POOL,
    threads: variables.AUTOGLM_THREADS,
    executionProviders: variables.AUTOGLM_EXECUTION_PROVIDERS,
    performanceHint: variables.AUTOGLM_PERFORMANCE_HINT,
    healthHost: variables.AUTOGLM_HEALTH_HOST,
    healthPort: variables.AUTOGLM_HEALTH_PORT,
    outboxLimitBytes: variables.AUTOGLM_OUTBOX_LIMIT,
    modelsLimitBytes: variables.AUTOGLM_MODELS_LIMIT,
    logLevel: variables.AUTOGLM_LOG_LEVEL,
    heartbeatMs: variables.AUTOGLM_HEARTBEAT_SECONDS,
    resyncMs: variables.AUTOGLM_RESYNC_SECONDS,
    republishMs: variables.AUTOGLM_REPUBLISH_SECONDS,
    sealIntervalMs: variables.AUTOGLM_SEAL_SECONDS,
    unlistedRetentionMs: variables.AUTOGLM_UNLISTED_RETENTION_SECONDS,
    drainMs: variables.AUTOGLM_DRAIN_SECONDS,
    itemTimeoutMs: variables.AUTOGLM_ITEM_TIMEOUT_SECONDS,
    http: Object.freeze({
      port: variables.AUTOGLM_HTTP_PORT,
      host: variables.AUTOGLM_HTTP_HOST,
      token: variables.AUTOGLM_HTTP_TOKEN,
      tokenFile: variables.AUTOGLM_HTTP_TOKEN_FILE,
      requestLimitBytes: variables.AUTOGLM_REQUEST_LIMIT,
      timeoutMs: variables.AUTOGLM_REQUEST_TIMEOUT_SECONDS,
      connectionLimit: variables.AUTOGLM_CONNECTION_LIMIT,
      queueLimit: variables.AUTOGLM_QUEUE_LIMIT,
      serveDir: variables.AUTOGLM_SERVE_DIR,
    }),
  });
}

function objectStoreOf(variables: z.output<typeof variablesSchema>): ObjectStoreOptions | undefined {
  const {
    AUTOGLM_OBJECT_STORE_URL: url,
    AUTOGLM_OBJECT_STORE_REGION: region,
    AUTOGLM_OBJECT_STORE_ACCESS_KEY_FILE: accessKeyFile,
    AUTOGLM_OBJECT_STORE_SECRET_KEY_FILE: secretKeyFile,
  } = variables;
  if (url === undefined && accessKeyFile === undefined && secretKeyFile === undefined) return undefined;
  if (url !== undefined && accessKeyFile !== undefined && secretKeyFile !== undefined) {
    return { url, region, accessKeyFile, secretKeyFile };
  }
  throw new AutoglmError(
    "InvalidOption",
    "AUTOGLM_OBJECT_STORE_URL, AUTOGLM_OBJECT_STORE_ACCESS_KEY_FILE and AUTOGLM_OBJECT_STORE_SECRET_KEY_FILE go together: set all three or none",
  );
}

/** @throws AutoglmError `InvalidOption` */
export function readAgentOptions(): AgentOptions {
  return parseAgentOptions(process.env);
}
