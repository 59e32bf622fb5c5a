import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { CHART, containersOf, find, helm, render, type Rendered, ROOT, VALUES, workloadsOf } from "./helm.ts";

const readYaml = (path: string): unknown => parse(readFileSync(path, "utf8"));
const duplicates = (names: readonly unknown[]) =>
  names.filter((name, index) => names.indexOf(name) !== index);

describe.each(Object.entries(VALUES))("the chart with %s values", (_name, values) => {
  it("passes helm's linter without a warning", async () => {
    const { exitCode, stdout } = await helm(["lint", "--strict", CHART, ...values]);
    expect(stdout).not.toMatch(/WARNING|ERROR/);
    expect(exitCode).toBe(0);
  });

  it("names no variable, port, mount or object twice", async () => {
    const objects = await render(values);
    expect(duplicates(objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`))).toEqual([]);
    for (const workload of workloadsOf(objects)) {
      for (const { env = [], volumeMounts = [] } of containersOf(workload)) {
        expect(duplicates(env.map(({ name }) => name))).toEqual([]);
        expect(duplicates(volumeMounts.map(({ mountPath }) => mountPath))).toEqual([]);
      }
      const ports = containersOf(workload).flatMap(({ ports = [] }) => ports);
      expect(duplicates(ports.map(({ name }) => name))).toEqual([]);
      expect(duplicates(ports.map(({ containerPort }) => containerPort))).toEqual([]);
    }
  });

  it("gives every long-running container probes, and every container a limit or a request", async () => {
    for (const workload of workloadsOf(await render(values))) {
      for (const container of containersOf(workload)) {
        expect(container.resources, `${workload.name}/${container.name}`).toHaveProperty("requests.memory");
      }
      if (workload.kind === "Job") continue;
      for (const container of workload.pod.containers) {
        expect(container, `${workload.name}/${container.name}`).toMatchObject({
          livenessProbe: expect.anything(),
          readinessProbe: expect.anything(),
        });
      }
    }
  });

  it("mounts only volumes that the pod has", async () => {
    for (const workload of workloadsOf(await render(values))) {
      const claims = workload.kind === "StatefulSet" ? ["store"] : [];
      const volumes = [...(workload.pod.volumes ?? []).map(({ name }) => name), ...claims];
      const mounts = containersOf(workload).flatMap(({ volumeMounts = [] }) =>
        volumeMounts.map(({ name }) => name),
      );
      expect(volumes).toEqual(expect.arrayContaining(mounts));
    }
  });

  it("uses no variable of ours that the program does not read", async () => {
    for (const workload of workloadsOf(await render(values))) {
      for (const { name, env = [] } of containersOf(workload)) {
        const options = name === "agent" ? "edge-agent/src/options.ts" : "operator/src/options.ts";
        const source = readFileSync(join(ROOT, options), "utf8");
        const ours = env
          .map((variable) => variable.name)
          .filter((variable) => variable.startsWith("AUTOGLM_"));
        for (const variable of ours) expect(source, `${options} reads ${variable}`).toContain(variable);
      }
    }
  });
});

describe("the values", () => {
  const MISSPELT = [
    ["operater.logLevel=info", "operater"],
    ["operator.loglevel=info", "loglevel"],
    ["nats.persistence.sise=1Gi", "sise"],
    ["agent.image.repo=x", "repo"],
    ["agent.pools[0].name=edge,agent.pools[0].location=edge,agent.pools[0].gpu=1", "gpu"],
    ["operator.logLevel=loud", "logLevel"],
    ["nats.resultsMaxBytes=12", "resultsMaxBytes"],
    ["agent.stateDir=relative", "stateDir"],
    ["image.digest=sha256:12", "digest"],
    ["agent.pools[0].name=Edge,agent.pools[0].location=edge", "name"],
    ["agent.pools[0].name=edge,agent.pools[0].location=fog", "location"],
    [
      "agent.pools[0].name=edge,agent.pools[0].location=edge,agent.pools[0].internalTrafficPolicy=Near",
      "internalTrafficPolicy",
    ],
  ];
  it.each(MISSPELT)("are refused with --set %s, naming %s", async (set, named) => {
    const { exitCode, stderr } = await helm(["template", CHART, "--set", set]);
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain(named);
  });

  it("are all in the README, and nothing else is", () => {
    const readme = readFileSync(join(CHART, "README.md"), "utf8");
    const documented = [...readme.matchAll(/^\| `([^`]+)` \|/gm)].map(([, key]) => key);
    const schema = JSON.parse(readFileSync(join(CHART, "values.schema.json"), "utf8")) as Schema;
    const inSchema = [...leavesOf(schema, schema.definitions ?? {})];
    expect(new Set(documented)).toEqual(new Set(inSchema));
    expect(duplicates(documented)).toEqual([]);
    const missing = pathsOf(readYaml(join(CHART, "values.yaml"))).filter(
      (path) => !inSchema.some((leaf) => isBelow(path, leaf)),
    );
    expect(missing).toEqual([]);
  });
});

interface Schema {
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly definitions?: Readonly<Record<string, Schema>>;
}

/** Paths of the values that have no named values below them, `a.b` and, in lists, `a[].b`; resources count as one. */
function* leavesOf(
  schema: Schema,
  definitions: Readonly<Record<string, Schema>>,
  path = "",
): Generator<string> {
  const { $ref } = schema;
  const resolved = $ref === undefined ? schema : (definitions[$ref.replace("#/definitions/", "")] ?? schema);
  const below = resolved.properties ?? resolved.items?.properties;
  if (below === undefined || $ref === "#/definitions/resources") {
    yield path;
    return;
  }
  const prefix = path === "" ? "" : `${path}${resolved.items === undefined ? "" : "[]"}.`;
  for (const [name, one] of Object.entries(below)) yield* leavesOf(one, definitions, `${prefix}${name}`);
}

function pathsOf(value: unknown, path = ""): readonly string[] {
  if (Array.isArray(value) && value.length > 0) return value.flatMap((one) => pathsOf(one, `${path}[]`));
  if (typeof value !== "object" || value === null || Object.keys(value).length === 0) return [path];
  return Object.entries(value).flatMap(([key, one]) => pathsOf(one, path === "" ? key : `${path}.${key}`));
}

const isBelow = (path: string, leaf: string): boolean => path === leaf || path.startsWith(`${leaf}.`);

describe("what is rendered", () => {
  it("holds the CRDs as generated, kept on uninstall unless told otherwise", async () => {
    const rendered = (await render()).filter(({ kind }) => kind === "CustomResourceDefinition");
    const files = readdirSync(join(ROOT, "crds")).map(
      (file) => readYaml(join(ROOT, "crds", file)) as Rendered,
    );
    expect(rendered.map(({ spec }) => spec)).toEqual(files.map(({ spec }) => spec));
    const policies = (objects: readonly Rendered[]) =>
      objects.map(({ metadata }) => metadata.annotations?.["helm.sh/resource-policy"]);
    expect(policies(rendered)).toEqual(rendered.map(() => "keep"));
    const dropped = (await render(["--set", "crds.keep=false"])).filter(
      ({ kind }) => kind === "CustomResourceDefinition",
    );
    expect(policies(dropped)).toEqual(rendered.map(() => undefined));
  });

  it("takes every image through the mirror, and a digest before a tag", async () => {
    const images = workloadsOf(await render(VALUES.full)).flatMap((one) =>
      containersOf(one).map(({ image }) => image),
    );
    expect(images.every((image) => image.startsWith("registry.example.com/mirror/"))).toBe(true);
    expect(images).toContain(
      `registry.example.com/mirror/autoglm/operator@sha256:${"0123456789abcdef".repeat(4)}`,
    );
    expect(images).toContain("registry.example.com/mirror/example/models:7");
    expect(images).toContain("registry.example.com/mirror/autoglm/edge-agent-cuda:0.1.0");
  });

  it("gives a pool its own image, resources and variables", async () => {
    const objects = await render(VALUES.full);
    const agent = (pool: string) => {
      const [one] = workloadsOf([find(objects, "DaemonSet", `autoglm-fleet-agent-${pool}`)]);
      return one?.pod.containers[0];
    };
    expect(agent("hangzhou")).toMatchObject({
      resources: { limits: { memory: "6Gi" } },
      env: expect.arrayContaining([
        { name: "AUTOGLM_MEMORY_BUDGET", value: "4Gi" },
        { name: "AUTOGLM_PERFORMANCE_HINT", value: "latency" },
      ]),
    });
    expect(agent("cuda")).toMatchObject({
      resources: { limits: { "nvidia.com/gpu": 1 } },
      env: expect.arrayContaining([
        { name: "AUTOGLM_EXECUTION_PROVIDERS", value: "cuda,cpu" },
        { name: "TZ", value: "Asia/Shanghai" },
        { name: "CUDA_MODULE_LOADING", value: "LAZY" },
      ]),
    });
  });

  it("reaches the inference port by a Service of each pool: at the edge the agent of the caller's node", async () => {
    const policies = (objects: readonly Rendered[]) =>
      objects
        .filter(({ kind, metadata }) => kind === "Service" && metadata.name.includes("-agent-"))
        .map(({ metadata, spec }) => [metadata.name, spec?.["internalTrafficPolicy"]]);
    expect(policies(await render())).toEqual([]);
    const enabled = ["agent.inference.enabled=true", "agent.inference.tokenSecret=t"];
    expect(policies(await render(enabled.flatMap((set) => ["--set", set])))).toEqual([
      ["autoglm-agent-edge", "Local"],
      ["autoglm-agent-cloud", "Cluster"],
    ]);
    const full = await render(VALUES.full);
    expect(policies(full)).toContainEqual(["autoglm-fleet-agent-hangzhou", "Cluster"]);
    expect(find(full, "Service", "autoglm-fleet-agent-cuda").spec).toMatchObject({
      ports: [{ port: 80, targetPort: "inference" }],
    });
  });

  it("refuses a pool whose Service would have too long a name", async () => {
    const pool = "a".repeat(30);
    const sets = [
      "agent.inference.enabled=true",
      "agent.inference.tokenSecret=t",
      `agent.pools[0].name=${pool},agent.pools[0].location=edge`,
    ].flatMap((set) => ["--set", set]);
    const { exitCode, stderr } = await helm(["template", "r".repeat(40), CHART, ...sets]);
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain(`of pool ${pool} would have 77 characters`);
  });

  it("has the processes of one release use the same names of Secret, Services and ports", async () => {
    const objects = await render([], { release: "r" });
    const secrets = workloadsOf(objects).flatMap(({ pod }) =>
      (pod.volumes ?? []).flatMap(({ secret }) => secret?.secretName ?? []),
    );
    const job = workloadsOf([find(objects, "Job", "r-autoglm-bus-init")])[0]?.pod.containers[0];
    // Keys for endpoints are the user's own: the Secret may be missing.
    expect(new Set(secrets)).toEqual(new Set([job?.args?.[2], "autoglm-endpoint-keys"]));
    const hosts = JSON.stringify(objects).matchAll(
      /[a-z]+:\/\/(r-autoglm-[a-z]+)\.autoglm-system\.svc(?::(\d+))?/g,
    );
    for (const [, service = "", port = "80"] of hosts) {
      const { spec } = find(objects, "Service", service);
      expect(spec?.["ports"]).toEqual(
        expect.arrayContaining([expect.objectContaining({ port: Number(port) })]),
      );
    }
  });

  it("selects pods that exist, by port names that they have", async () => {
    const objects = await render(VALUES.full);
    const services = objects.filter(({ kind }) => kind === "Service");
    expect(services.length).toBeGreaterThan(2);
    for (const { metadata, spec } of services) {
      const selector = Object.entries(spec?.["selector"] as Record<string, string>);
      const matching = workloadsOf(objects).filter(({ labels }) =>
        selector.every(([key, value]) => labels[key] === value),
      );
      expect(matching, metadata.name).toHaveLength(1);
      const open = matching[0]?.pod.containers[0]?.ports?.map(({ name }) => name);
      const wanted = (spec?.["ports"] ?? []) as readonly { readonly targetPort: string }[];
      expect(open).toEqual(expect.arrayContaining(wanted.map(({ targetPort }) => targetPort)));
    }
  });
});
