/** Brings CustomResourceDefinitions into a cluster and waits until they are served. */
import { AutoglmError, hasErrorCode } from "@autoglm/api";
import type { CallOptions, KubeClient } from "./client.ts";
import { type Clock, sleep, systemClock } from "./ports.ts";
import type { KubeObject, Resource } from "./resource.ts";

export interface CustomResourceDefinition extends KubeObject {
  readonly spec: {
    readonly group: string;
    readonly scope: "Namespaced" | "Cluster";
    readonly names: { readonly plural: string; readonly kind: string };
    readonly versions: readonly {
      readonly name: string;
      readonly served: boolean;
      readonly storage: boolean;
      readonly schema?: unknown;
      readonly subresources?: unknown;
    }[];
  };
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly message?: string;
    }[];
  };
}

export const CUSTOM_RESOURCE_DEFINITIONS: Resource<CustomResourceDefinition> = {
  group: "apiextensions.k8s.io",
  version: "v1",
  plural: "customresourcedefinitions",
  kind: "CustomResourceDefinition",
  namespaced: false,
};

export interface ApplyCrdsOptions extends CallOptions {
  /** How long to wait until all are served; default 30 s. */
  readonly waitMs?: number;
  readonly clock?: Clock;
}

/** Throws Invalid when the API server refuses one, Timeout with its conditions when one is not served in time. */
export async function applyCrds(
  client: KubeClient,
  documents: readonly CustomResourceDefinition[],
  options: ApplyCrdsOptions = {},
): Promise<void> {
  const { waitMs = 30_000, clock = systemClock, ...call } = options;
  const signal = call.signal ?? new AbortController().signal;
  for (const document of documents) await client.apply(CUSTOM_RESOURCE_DEFINITIONS, document, call);
  const deadlineMs = clock.now() + waitMs;
  for (const document of documents) {
    while (!(await isServed(client, document, call))) {
      if (clock.now() >= deadlineMs) throw await notServed(client, document, call);
      await sleep(clock, 100, signal);
      signal.throwIfAborted();
    }
  }
}

async function isServed(
  client: KubeClient,
  document: CustomResourceDefinition,
  call: CallOptions,
): Promise<boolean> {
  const stored = await client.get(CUSTOM_RESOURCE_DEFINITIONS, document.metadata, call);
  const established = stored.status?.conditions?.some(
    (condition) => condition.type === "Established" && condition.status === "True",
  );
  if (established !== true) return false;
  const { group, names, scope, versions } = document.spec;
  try {
    // Established comes a moment before the API server serves the path.
    for (const version of versions.filter((one) => one.served)) {
      const namespaced = scope === "Namespaced";
      await client.list(
        { group, version: version.name, plural: names.plural, kind: names.kind, namespaced },
        // Enough to see that the path is there, without every object.
        { fieldSelector: "metadata.name=none" },
        call,
      );
    }
    return true;
  } catch (error) {
    // 429 "storage is (re)initializing" is how a new kind begins.
    if (hasErrorCode(error, "NotFound") || hasErrorCode(error, "TooManyRequests")) return false;
    throw error;
  }
}

async function notServed(
  client: KubeClient,
  document: CustomResourceDefinition,
  call: CallOptions,
): Promise<AutoglmError> {
  const stored = await client.get(CUSTOM_RESOURCE_DEFINITIONS, document.metadata, call);
  return new AutoglmError("Timeout", `${document.metadata.name} is not served yet`, {
    details: { conditions: stored.status?.conditions },
  });
}
