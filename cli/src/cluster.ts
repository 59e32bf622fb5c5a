import { AutoglmError, hasErrorCode } from "@autoglm/api";
import type { ConfigMap, KubeClient } from "@autoglm/kube";
import { errorWithHint } from "./exit-codes.ts";
import type { CliIo } from "./io.ts";
import { type KubeContext, readKubeContext } from "./kubeconfig.ts";

/** Flags that every command takes, with the names that kubectl gives them. */
export interface ConnectionOptions {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly context?: string;
  readonly kubeconfig?: string;
  readonly resultsUrl?: string;
  readonly token?: string;
}

/** A connection to the API server, and what the user's kubeconfig says besides. */
export interface Cluster {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly token: string | undefined;
  readonly resultsUrl: string | undefined;
}

/** Where the chart and `make up` say how results are reached. */
const ENDPOINTS = { namespace: "autoglm-system", name: "autoglm-endpoints", key: "resultsUrl" } as const;

/** Runs `work` with a connection and closes it. */
export async function withCluster<T>(
  io: CliIo,
  options: ConnectionOptions,
  work: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  const { environment } = io;
  const kubeconfigPath = options.kubeconfig ?? environment.kubeconfig;
  const context: KubeContext = await readKubeContext(kubeconfigPath, options.context);
  // Half of the start: loaded only by what needs it.
  const { loadKubeClient } = await import("@autoglm/kube");
  const client = loadKubeClient({ kubeconfigPath, context: options.context, fieldManager: "autoglm-cli" });
  try {
    return await work({
      client,
      namespace: options.namespace ?? context.namespace,
      token: options.token ?? environment.token ?? context.token,
      resultsUrl: options.resultsUrl ?? environment.resultsUrl,
    });
  } finally {
    await client.close();
  }
}

export interface ResultsEndpoint {
  readonly url: string;
  readonly token: string;
}

/** @throws AutoglmError with a hint when nobody says where results are, or there is no token to ask with */
export async function findResultsEndpoint(cluster: Cluster, signal: AbortSignal): Promise<ResultsEndpoint> {
  const url = cluster.resultsUrl ?? (await publishedUrl(cluster, signal));
  if (url === undefined) {
    throw errorWithHint(
      "NotFound",
      `nothing says where results are served: the ConfigMap ${ENDPOINTS.name} in ${ENDPOINTS.namespace} has no ${ENDPOINTS.key}`,
      "name the address with --results-url or AUTOGLM_RESULTS_URL",
    );
  }
  if (!URL.canParse(url))
    throw new AutoglmError("InvalidOption", `"${url}" is no address of a results server`);
  if (cluster.token === undefined) {
    throw errorWithHint(
      "Forbidden",
      "the results server asks for a bearer token, and the kubeconfig has none",
      // Not --token: a command line is everybody's to read.
      'make one: export AUTOGLM_TOKEN="$(kubectl create token <serviceaccount>)"',
    );
  }
  return { url: url.replace(/\/+$/, ""), token: cluster.token };
}

async function publishedUrl({ client }: Cluster, signal: AbortSignal): Promise<string | undefined> {
  const { CONFIG_MAPS } = await import("@autoglm/kube");
  const { namespace, name, key } = ENDPOINTS;
  try {
    const configMap: ConfigMap | undefined = await client.find(CONFIG_MAPS, { namespace, name }, { signal });
    return configMap?.data?.[key];
  } catch (cause) {
    if (!hasErrorCode(cause, "Forbidden")) throw cause;
    throw errorWithHint(
      "Forbidden",
      `you may not read the ConfigMap ${name} in ${namespace}, which says where results are served`,
      "name the address with --results-url or AUTOGLM_RESULTS_URL",
      cause,
    );
  }
}
