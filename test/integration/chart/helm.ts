/** The chart through the pinned helm, what it renders as values, and a command of the Dockerfile. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { parseAllDocuments } from "yaml";

export const ROOT = resolve(import.meta.dirname, "../../..");
export const CHART = join(ROOT, "charts/autoglm");
export const VALUES = {
  default: [],
  minimal: ["--values", join(import.meta.dirname, "values/minimal.yaml")],
  full: ["--values", join(import.meta.dirname, "values/full.yaml")],
} as const;

let binary: string | undefined;

/** Never rejects for an exit code; nothing of the caller's own helm configuration is used. */
export async function helm(args: readonly string[], options: { readonly kubeconfigPath?: string } = {}) {
  binary ??= join(
    execFileSync(join(ROOT, "hack/go-tools.sh"), ["helm"], { encoding: "utf8" }).trim(),
    "helm",
  );
  const env = { PATH: process.env["PATH"], HOME: "/nonexistent", KUBECONFIG: options.kubeconfigPath ?? "" };
  return execa(binary, args, { reject: false, env, extendEnv: false });
}

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: unknown;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly EnvVar[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly resources: { readonly limits?: Readonly<Record<string, unknown>> };
  readonly livenessProbe?: unknown;
  readonly readinessProbe?: unknown;
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

export interface PodSpec {
  readonly serviceAccountName?: string;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[];
}

export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly rules?: readonly Rule[];
}

/** Of a role. */
export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

export interface RenderOptions {
  readonly release?: string;
  readonly namespace?: string;
}

/** What `helm template` gives, hooks included. */
export async function render(
  values: readonly string[] = [],
  options: RenderOptions = {},
): Promise<readonly Rendered[]> {
  const { release = "autoglm", namespace = "autoglm-system" } = options;
  const { exitCode, stdout, stderr } = await helm([
    "template",
    release,
    CHART,
    "--namespace",
    namespace,
    ...values,
  ]);
  if (exitCode !== 0) throw new Error(`helm template: ${stderr}`);
  // Written by the chart, and checked by the API server in install.test.ts.
  return parseAllDocuments(stdout)
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);
}

export interface Workload {
  readonly name: string;
  readonly kind: string;
  /** Of its pods. */
  readonly labels: Readonly<Record<string, string>>;
  readonly pod: PodSpec;
}

/** Everything that becomes pods. */
export function workloadsOf(objects: readonly Rendered[]): readonly Workload[] {
  return objects.flatMap(({ kind, metadata, spec }) => {
    const template = spec?.["template"] as
      | { readonly spec?: PodSpec; readonly metadata?: Rendered["metadata"] }
      | undefined;
    if (template?.spec === undefined) return [];
    return [{ name: metadata.name, kind, labels: template.metadata?.labels ?? {}, pod: template.spec }];
  });
}

export const containersOf = ({ pod }: Workload): readonly Container[] => [
  ...(pod.initContainers ?? []),
  ...pod.containers,
];

export function find(objects: readonly Rendered[], kind: string, name: string): Rendered {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`nothing rendered is ${kind} ${name}`);
  return found;
}

/** The very command of the Dockerfile that copies ONNX Runtime for $TARGETARCH, to `app` instead of /out. */
export function onnxRuntimeCommand(app: string): string {
  const dockerfile = readFileSync(join(ROOT, "Dockerfile"), "utf8");
  const command = /AS onnxruntime\nARG TARGETARCH\nRUN ((?:.*\\\n)*.*)/.exec(dockerfile)?.[1];
  if (command === undefined) throw new Error("the Dockerfile's stage onnxruntime has another form");
  return command.replaceAll("\\\n", "").replaceAll("/out/", `${app}/`);
}
