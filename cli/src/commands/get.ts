import { AutoglmError } from "@autoglm/api";
import type { KubeObject, RawRequest, Resource } from "@autoglm/kube";
import { stringify } from "yaml";
import { type Cluster, type ConnectionOptions, withCluster } from "../cluster.ts";
import { EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { type CliIo, say } from "../io.ts";
import { renderServerTable, type ServerTable } from "../table.ts";

export interface GetOptions extends ConnectionOptions {
  readonly output?: "json" | "yaml" | "name" | "wide";
  readonly selector?: string;
  readonly signal: AbortSignal;
}

/** Prints objects of one kind: as the API server's table, so with kubectl's columns, or as they are. */
export async function get(
  io: CliIo,
  resource: Resource,
  name: string | undefined,
  options: GetOptions,
): Promise<ExitCode> {
  if (name !== undefined && (options.allNamespaces === true || options.selector !== undefined)) {
    throw usageError("a name goes with neither -A nor -l");
  }
  return withCluster(io, options, async (cluster) => {
    if (options.output !== "json" && options.output !== "yaml") {
      return printTable(io, cluster, resource, name, options);
    }
    const object = await getObjects(cluster, resource, name, options);
    const isJson = options.output === "json";
    io.stdout.write(isJson ? `${JSON.stringify(object, null, 2)}\n` : stringify(object, { version: "1.1" }));
    return EXIT.ok;
  });
}

async function getObjects(
  { client, namespace }: Cluster,
  resource: Resource,
  name: string | undefined,
  { allNamespaces, selector, signal }: GetOptions,
): Promise<unknown> {
  if (name !== undefined) {
    return withoutManagedFields(
      await client.get(resource, { name, ...scope(resource, namespace) }, { signal }),
    );
  }
  const where = allNamespaces === true ? {} : scope(resource, namespace);
  const { items } = await client.list(resource, { ...where, labelSelector: selector }, { signal });
  return { apiVersion: "v1", kind: "List", items: items.map(withoutManagedFields) };
}

async function printTable(
  io: CliIo,
  cluster: Cluster,
  resource: Resource,
  name: string | undefined,
  options: GetOptions,
): Promise<ExitCode> {
  const { output, allNamespaces, selector, signal } = options;
  const where = allNamespaces === true ? {} : scope(resource, cluster.namespace);
  const request: RawRequest & { readonly accept: string } = {
    method: "GET",
    path: pathOf(resource, where.namespace, name),
    query: { labelSelector: selector },
    accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
    signal,
  };
  // What this Accept header asks for.
  const table = JSON.parse(await cluster.client.request(request)) as ServerTable;
  if (table.kind !== "Table")
    throw new AutoglmError("Internal", `the API server sent a ${table.kind}, not a table`);
  const rows = table.rows ?? [];
  if (output === "name") {
    for (const { object } of rows) {
      io.stdout.write(`${resource.kind.toLowerCase()}.${resource.group}/${object.metadata.name}\n`);
    }
  } else if (rows.length === 0) {
    say(io, `No resources found${where.namespace === undefined ? "" : ` in ${where.namespace} namespace`}.`);
  } else {
    const hasNamespace = allNamespaces === true && resource.namespaced;
    io.stdout.write(renderServerTable(table, { isWide: output === "wide", hasNamespace }));
  }
  return EXIT.ok;
}

function pathOf({ group, version, plural }: Resource, namespace?: string, name?: string): string {
  const inNamespace = namespace === undefined ? [] : ["namespaces", namespace];
  const segments = ["apis", group, version, ...inNamespace, plural, ...(name === undefined ? [] : [name])];
  return `/${segments.map(encodeURIComponent).join("/")}`;
}

function scope(resource: Resource, namespace: string): { readonly namespace?: string } {
  return resource.namespaced ? { namespace } : {};
}

function withoutManagedFields(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
