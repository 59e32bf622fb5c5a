/** Operator, enrolment and ingester as in production, over a real nats-server, in this process. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { API_VERSION, type AutoGLMTask, type TaskSpecInput } from "@autoglm/api";
import { publicKeysOf, signServiceUser } from "@autoglm/bus";
import { KUBE_METRICS } from "@autoglm/kube";
import {
  INGEST_METRICS,
  LoopbackAccess,
  startControlPlane,
  type ControlPlane,
  type ObjectStore,
  type OperatorPart,
} from "@autoglm/operator";
import { createLogger, Metrics } from "@autoglm/telemetry";
import { startTestNats, type TestNats } from "../../support/nats.ts";
import { FakeAgent, type FakeAgentOptions } from "./fake-agent.ts";

/** Objects as a test makes them, whatever keeps them. */
export interface ManifestTarget {
  apply(manifest: unknown): Promise<void> | void;
}

export interface HarnessOptions {
  /** Called for each start of the control plane: a restarted operator has a new cache. */
  readonly openStore: () => ObjectStore;
  readonly target: ManifestTarget;
  readonly identifyToken?: OperatorPart["identifyToken"];
  readonly timing?: Partial<OperatorPart["timing"]>;
}

export class Harness {
  readonly nats: TestNats;
  readonly #options: HarnessOptions;
  readonly #stateDir: string;
  readonly #agents: FakeAgent[] = [];
  readonly #enrolPort: { value: number } = { value: 0 };
  plane!: ControlPlane;
  store!: ObjectStore;
  metrics!: Metrics<typeof KUBE_METRICS & typeof INGEST_METRICS>;

  private constructor(options: HarnessOptions, nats: TestNats, stateDir: string) {
    this.#options = options;
    this.nats = nats;
    this.#stateDir = stateDir;
  }

  static async start(options: HarnessOptions): Promise<Harness> {
    const nats = await startTestNats();
    const harness = new Harness(options, nats, await mkdtemp(join(tmpdir(), "autoglm-operator-")));
    await harness.startPlane();
    return harness;
  }

  async startPlane(): Promise<void> {
    const { keys, url } = this.nats;
    this.store = this.#options.openStore();
    this.metrics = new Metrics({ ...KUBE_METRICS, ...INGEST_METRICS });
    this.plane = await startControlPlane({
      natsUrls: [url],
      log: createLogger({ name: "test", level: process.env["TEST_LOG"] === undefined ? "silent" : "debug" }),
      metrics: this.metrics,
      ingester: {
        credentials: { ...signServiceUser(keys, "ingester"), grantPublicKey: publicKeysOf(keys).grant },
        stateDir: this.#stateDir,
        http: { host: "127.0.0.1", port: 0 },
        access: new LoopbackAccess("test-token-of-this-harness"),
      },
      operator: {
        store: this.store,
        keys,
        enrol: { host: "127.0.0.1", port: this.#enrolPort.value },
        identifyToken: this.#options.identifyToken ?? (async () => undefined),
        publicNatsUrls: [url],
        timing: {
          heartbeatTimeoutMs: 1500,
          patienceMs: 3000,
          statusIntervalMs: 1000,
          ...this.#options.timing,
        },
        credentialLifetimeMs: 3_600_000,
        rewriteIntervalMs: 60_000,
        generation: 0,
      },
    });
    this.#enrolPort.value = Number(new URL(this.plane.enrolUrl ?? "").port);
  }

  /** Stops everything but the bus and the agents, deletes the result store, starts again. */
  async loseResults(): Promise<void> {
    await this.plane.stop();
    await rm(this.#stateDir, { recursive: true, force: true });
    await this.startPlane();
  }

  async apply(manifest: unknown): Promise<void> {
    await this.#options.target.apply(manifest);
  }

  /** Makes the node with a one-time token, and an agent that uses it. */
  async agent(options: Omit<FakeAgentOptions, "enrolUrl" | "token">): Promise<FakeAgent> {
    const token = await this.issueToken(options.nodeName);
    const agent = await FakeAgent.start({ ...options, enrolUrl: this.plane.enrolUrl ?? "", token });
    this.#agents.push(agent);
    return agent;
  }

  async issueToken(nodeName: string): Promise<string> {
    const token = randomBytes(24).toString("hex");
    const tokenSha256 = createHash("sha256").update(token).digest("hex");
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    const spec = { enrolment: { tokenSha256, expiresAt } };
    await this.apply({ apiVersion: API_VERSION, kind: "AutoGLMNode", metadata: { name: nodeName }, spec });
    return token;
  }

  async model(name: string, taskTypes: readonly string[], memory = "256Mi"): Promise<void> {
    const files = [{ path: "model.onnx", sha256: "0".repeat(64), sizeBytes: 1 }];
    const variant = { name: "int8", precision: "int8", memory, contextLength: 128, files };
    await this.apply({
      apiVersion: API_VERSION,
      kind: "AutoGLMModel",
      metadata: { name },
      spec: { taskTypes, variants: [variant] },
    });
  }

  async task(name: string, spec: TaskSpecInput, namespace = "default"): Promise<void> {
    await this.apply({ apiVersion: API_VERSION, kind: "AutoGLMTask", metadata: { name, namespace }, spec });
  }

  read(name: string, namespace = "default"): AutoGLMTask | undefined {
    return this.store.get("AutoGLMTask", `${namespace}/${name}`);
  }

  async stop(): Promise<void> {
    for (const agent of this.#agents) await agent.stop();
    await this.plane.stop();
    await this.nats.stop();
    await rm(this.#stateDir, { recursive: true, force: true });
  }
}

/** Whether a condition of this type holds. */
export function holds(task: AutoGLMTask | undefined, type: string): boolean {
  return task?.status?.conditions?.some((one) => one.type === type && one.status === "True") === true;
}
