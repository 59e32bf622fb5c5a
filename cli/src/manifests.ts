/** Reads manifests and checks them as the API server would, so that an error names file, document and field. */
import { readFile } from "node:fs/promises";
import {
  API_VERSION,
  checkTaskSpec,
  KINDS,
  type KindName,
  manifestSchema,
  taskSpecSchema,
} from "@autoglm/api";
import type { ConfigMap, KubeObject } from "@autoglm/kube";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { usageError } from "./exit-codes.ts";
import { type CliIo, readAll } from "./io.ts";

/** A manifest that passed the checks, as the user wrote it: defaults are left to the API server. */
export type Manifest =
  | { readonly kind: KindName; readonly object: KubeObject }
  | { readonly kind: "ConfigMap"; readonly object: ConfigMap };

const configMapSchema = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("ConfigMap"),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
  data: z.record(z.string(), z.string()).optional(),
});
const KIND_NAMES = Object.keys(KINDS) as KindName[];

/** @param path `-` reads stdin */
export async function readManifests(path: string, io: CliIo): Promise<Manifest[]> {
  const name = path === "-" ? "stdin" : path;
  const text =
    path === "-"
      ? await readAll(io)
      : await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
          if (cause.code === "EISDIR") throw usageError(`${name} is a folder`, "name the files in it");
          throw usageError(`${name} can't be read: ${cause.message}`);
        });
  return parseManifests(name, text);
}

/** @throws AutoglmError of usage, naming file, document and field */
export function parseManifests(file: string, text: string): Manifest[] {
  const manifests: Manifest[] = [];
  for (const [index, document] of [...parseAllDocuments(text)].entries()) {
    const where = `${file}, document ${index + 1}`;
    const [error] = document.errors;
    if (error !== undefined) throw usageError(`${where}: ${error.message}`);
    const value: unknown = document.toJS();
    if (value !== null) manifests.push(checkManifest(where, value));
  }
  if (manifests.length === 0) throw usageError(`${file} holds no manifest`);
  return manifests;
}

function checkManifest(where: string, value: unknown): Manifest {
  const { kind, apiVersion } = (typeof value === "object" ? value : {}) as {
    kind?: unknown;
    apiVersion?: unknown;
  };
  if (kind === "ConfigMap") {
    check(where, configMapSchema, value);
    return { kind, object: value as ConfigMap };
  }
  if (typeof kind !== "string") throw usageError(`${where}: kind: is required: is this a manifest?`);
  const known = KIND_NAMES.find((name) => name === kind);
  if (known === undefined) {
    const hint = `this command takes ${KIND_NAMES.join(", ")} (${API_VERSION}) and ConfigMap; the rest goes by kubectl apply -f`;
    throw usageError(`${where}: kind: "${kind}" of ${String(apiVersion)} is not known here`, hint);
  }
  check(where, manifestSchema(known), value);
  if (known === "AutoGLMTask") checkTask(where, value);
  return { kind: known, object: value as KubeObject };
}

function check(where: string, schema: z.ZodType, value: unknown): void {
  const { error } = schema.safeParse(value, { reportInput: false });
  const [issue] = error?.issues ?? [];
  if (issue === undefined) return;
  const unknown = issue.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  const path = [...issue.path, ...(unknown === undefined ? [] : [unknown])].join(".");
  const found = issue.path.reduce<unknown>(
    (at, step) => (at as Record<PropertyKey, unknown> | undefined)?.[step],
    value,
  );
  const isMissing = issue.code === "invalid_type" && found === undefined;
  const problem = unknown !== undefined ? "unknown field" : isMissing ? "is required" : issue.message;
  throw usageError(`${where}: ${path || "the manifest"}: ${problem}`);
}

/** The rules that a schema can't say. */
function checkTask(where: string, value: unknown): void {
  const spec = taskSpecSchema.parse((value as { readonly spec: unknown }).spec);
  const [problem] = checkTaskSpec(spec);
  if (problem !== undefined) throw usageError(`${where}: ${problem.field}: ${problem.message}`);
}
