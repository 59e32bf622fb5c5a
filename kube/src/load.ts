/** Where the API server is and who we are there: a kubeconfig, or the service account of the pod. */
import { statSync } from "node:fs";
import { delimiter } from "node:path";
import { AutoglmError } from "@autoglm/api";
import { KubeConfig } from "@kubernetes/client-node";
import { KubeClient, type KubeClientOptions } from "./client.ts";

export interface LoadOptions extends KubeClientOptions {
  /** A kubeconfig, or several joined as in KUBECONFIG. Absent: the service account of the pod that this runs in. */
  readonly kubeconfigPath?: string | undefined;
  /** Absent: the kubeconfig's current context. */
  readonly context?: string | undefined;
}

const SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/** Throws InvalidOption, naming what is missing. Opens no connection yet. */
export function loadKubeClient(options: LoadOptions = {}): KubeClient {
  const config = new KubeConfig();
  if (options.kubeconfigPath === undefined) {
    if (statSync(SERVICE_ACCOUNT_TOKEN, { throwIfNoEntry: false }) === undefined) {
      throw new AutoglmError("InvalidOption", "no kubeconfig was given, and this does not run in a pod");
    }
    config.loadFromCluster();
  } else {
    loadFiles(config, options.kubeconfigPath);
  }
  if (options.context !== undefined) {
    if (config.getContextObject(options.context) === null) {
      throw new AutoglmError("InvalidOption", `the kubeconfig has no context "${options.context}"`);
    }
    config.setCurrentContext(options.context);
  }
  return new KubeClient(config, options);
}

function loadFiles(config: KubeConfig, paths: string): void {
  for (const [index, path] of paths.split(delimiter).filter(Boolean).entries()) {
    try {
      if (index === 0) {
        config.loadFromFile(path);
        continue;
      }
      const further = new KubeConfig();
      further.loadFromFile(path);
      config.mergeConfig(further, true);
    } catch (cause) {
      throw new AutoglmError("InvalidOption", `the kubeconfig ${path} can't be read`, { cause });
    }
  }
}
