/** The few facts about Kubernetes objects and resources that every piece here shares. */

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMetadata {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
  readonly managedFields?: readonly unknown[];
}

/** Any Kubernetes object as JSON; dates stay the strings that the API server sent. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMetadata;
}

/** Where a kind is served. `T` is the type of its objects; `object` is never set and only carries it. */
export interface Resource<T extends KubeObject = KubeObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly object?: T;
}

export interface ObjectReference {
  readonly name: string;
  readonly namespace?: string | undefined;
}

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
}

export interface Secret extends KubeObject {
  readonly type?: string;
  /** Values in base64. */
  readonly data?: Readonly<Record<string, string>>;
}

export interface Node extends KubeObject {
  readonly spec?: {
    readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
    readonly unschedulable?: boolean;
    readonly providerID?: string;
  };
  readonly status?: {
    readonly allocatable?: Readonly<Record<string, string>>;
    readonly capacity?: Readonly<Record<string, string>>;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
      readonly lastHeartbeatTime?: string;
      readonly lastTransitionTime?: string;
    }[];
    readonly nodeInfo?: Readonly<Record<string, unknown>>;
  };
}

const core = { group: "", version: "v1" } as const;
export const CONFIG_MAPS: Resource<ConfigMap> = {
  ...core,
  plural: "configmaps",
  kind: "ConfigMap",
  namespaced: true,
};
export const SECRETS: Resource<Secret> = { ...core, plural: "secrets", kind: "Secret", namespaced: true };
export const NODES: Resource<Node> = { ...core, plural: "nodes", kind: "Node", namespaced: false };
export const NAMESPACES: Resource = {
  ...core,
  plural: "namespaces",
  kind: "Namespace",
  namespaced: false,
};

export function apiVersionOf(resource: Resource): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

/** `nodes`, `autoglmtasks.autoglm.io`: how kubectl names it, and the `resource` label of metrics. */
export function resourceName(resource: Resource): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

/** The URL path of a collection, of one object, or of an object's subresource. */
export function resourcePath(
  resource: Resource,
  target: { readonly namespace?: string | undefined; readonly name?: string; readonly subresource?: string },
): string {
  const segments =
    resource.group === "" ? ["api", resource.version] : ["apis", resource.group, resource.version];
  if (resource.namespaced && target.namespace !== undefined) segments.push("namespaces", target.namespace);
  segments.push(resource.plural);
  if (target.name !== undefined) segments.push(target.name);
  if (target.subresource !== undefined) segments.push(target.subresource);
  return `/${segments.map(encodeURIComponent).join("/")}`;
}

/** `namespace/name`, or `name` for a cluster-scoped object: the key of caches and queues. */
export function keyOf(reference: ObjectReference): string {
  return reference.namespace === undefined ? reference.name : `${reference.namespace}/${reference.name}`;
}

/** The inverse of `keyOf`. */
export function parseKey(key: string): ObjectReference {
  const slash = key.indexOf("/");
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
