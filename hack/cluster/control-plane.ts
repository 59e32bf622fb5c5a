/** What etcd, kube-apiserver and kube-controller-manager are told, and the files they need. No processes here. */
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface Binaries {
  readonly etcd: string;
  readonly apiserver: string;
  readonly kubectl: string;
  /** envtest's assets lack it: then nothing is garbage-collected and namespaces never finish terminating. */
  readonly controllerManager?: string;
}

/** Binaries of envtest's KUBEBUILDER_ASSETS where that is set, else the cached ones, built first if need be. */
export function findBinaries(env: NodeJS.ProcessEnv): Binaries {
  const assets = env["KUBEBUILDER_ASSETS"];
  const kubernetes = assets ?? goTools("kubernetes");
  const controllerManager = join(kubernetes, "kube-controller-manager");
  return {
    etcd: join(assets ?? goTools("etcd"), "etcd"),
    apiserver: join(kubernetes, "kube-apiserver"),
    kubectl: join(kubernetes, "kubectl"),
    ...(existsSync(controllerManager) ? { controllerManager } : {}),
  };
}

function goTools(module: string): string {
  const script = join(dirname(import.meta.dirname), "go-tools.sh");
  return execFileSync(script, [module], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
}

interface Ports {
  readonly etcdClient: number;
  readonly etcdPeer: number;
  readonly apiserver: number;
}

/** Users of the token file. The viewer may do only what every authenticated user may: ask who and what it may. */
interface Tokens {
  readonly admin: string;
  readonly viewer: string;
}

export interface ControlPlane {
  readonly dir: string;
  readonly ports: Ports;
  readonly tokens: Tokens;
}

export function etcdUrl(plane: ControlPlane): string {
  return `http://127.0.0.1:${plane.ports.etcdClient}`;
}

export function serverUrl(plane: ControlPlane): string {
  return `https://127.0.0.1:${plane.ports.apiserver}`;
}

const file = (plane: ControlPlane, name: string): string => join(plane.dir, "files", name);

/** Keys, tokens and folders; what exists is kept, so that a restarted API server still knows its own tokens. */
export function writeFiles(plane: ControlPlane): void {
  mkdirSync(file(plane, ""), { recursive: true, mode: 0o700 });
  if (!existsSync(file(plane, "service-account.key"))) {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    });
    writeFileSync(file(plane, "service-account.key"), privateKey, { mode: 0o600 });
    writeFileSync(file(plane, "service-account.pub"), publicKey);
  }
  const users = [
    `${plane.tokens.admin},admin,admin,"system:masters"`,
    `${plane.tokens.viewer},viewer,viewer`,
  ];
  writeFileSync(file(plane, "tokens.csv"), `${users.join("\n")}\n`, { mode: 0o600 });
}

export function newToken(): string {
  return randomBytes(24).toString("hex");
}

export function etcdArgs(plane: ControlPlane): readonly string[] {
  const peer = `http://127.0.0.1:${plane.ports.etcdPeer}`;
  return [
    `--data-dir=${join(plane.dir, "etcd")}`,
    `--listen-client-urls=${etcdUrl(plane)}`,
    `--advertise-client-urls=${etcdUrl(plane)}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    // A cluster for tests and for trying out: losing it costs a restart, waiting for the disk costs every write.
    "--unsafe-no-fsync",
    "--log-level=warn",
  ];
}

export function apiserverArgs(plane: ControlPlane): readonly string[] {
  return [
    `--etcd-servers=${etcdUrl(plane)}`,
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    `--secure-port=${plane.ports.apiserver}`,
    `--cert-dir=${file(plane, "certificates")}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-account-key-file=${file(plane, "service-account.pub")}`,
    `--service-account-signing-key-file=${file(plane, "service-account.key")}`,
    `--token-auth-file=${file(plane, "tokens.csv")}`,
    "--authorization-mode=Node,RBAC",
    "--service-cluster-ip-range=10.96.0.0/16",
    "--endpoint-reconciler-type=none",
    "--shutdown-delay-duration=0s",
  ];
}

/**
 * The controllers that a cluster without kubelets needs. Not the node lifecycle controller: it turns every node
 * that has no kubelet Unknown after 40 s, and here liveness comes from the agents' heartbeats.
 */
const CONTROLLERS = [
  "garbage-collector-controller",
  "namespace-controller",
  "serviceaccount-controller",
  "root-ca-certificate-publisher-controller",
  "clusterrole-aggregation-controller",
];

export function controllerManagerArgs(plane: ControlPlane, kubeconfigPath: string): readonly string[] {
  return [
    `--kubeconfig=${kubeconfigPath}`,
    `--controllers=${CONTROLLERS.join(",")}`,
    "--leader-elect=false",
    "--secure-port=0",
    `--service-account-private-key-file=${file(plane, "service-account.key")}`,
    `--root-ca-file=${serverCertificate(plane)}`,
  ];
}

/** Written by the API server itself when it first starts. */
function serverCertificate(plane: ControlPlane): string {
  return join(file(plane, "certificates"), "apiserver.crt");
}

/** Contexts `admin` (current) and `viewer`. JSON is YAML. */
export function kubeconfig(plane: ControlPlane): string {
  const users = Object.entries(plane.tokens);
  const cluster = {
    server: serverUrl(plane),
    "certificate-authority-data": readFileSync(serverCertificate(plane)).toString("base64"),
  };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "autoglm", cluster }],
    users: users.map(([name, token]) => ({ name, user: { token } })),
    contexts: users.map(([name]) => ({
      name,
      context: { cluster: "autoglm", user: name, namespace: "default" },
    })),
    "current-context": "admin",
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
