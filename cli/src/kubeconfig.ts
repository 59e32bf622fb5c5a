/** The two facts of a kubeconfig that are not about the connection: the namespace, and the user's bearer token. */
import { readFile } from "node:fs/promises";
import { delimiter, dirname, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { errorWithHint } from "./exit-codes.ts";

const contextSchema = z.looseObject({ namespace: z.string().optional(), user: z.string().optional() });
const userSchema = z.looseObject({ token: z.string().optional(), tokenFile: z.string().optional() });
const kubeconfigSchema = z.looseObject({
  "current-context": z.string().nullish(),
  contexts: z.array(z.looseObject({ name: z.string(), context: contextSchema.nullish() })).nullish(),
  users: z.array(z.looseObject({ name: z.string(), user: userSchema.nullish() })).nullish(),
});

export interface KubeContext {
  readonly namespace: string;
  /** Absent: certificates, or a plugin that makes tokens. */
  readonly token: string | undefined;
}

/**
 * @param paths as in KUBECONFIG; what comes first wins, what is missing is passed over
 * @throws AutoglmError `InvalidOption` when there is none, it can't be read, or has no such context
 */
export async function readKubeContext(paths: string, contextName?: string): Promise<KubeContext> {
  const files: { readonly dir: string; readonly config: z.output<typeof kubeconfigSchema> }[] = [];
  for (const path of paths.split(delimiter).filter(Boolean)) {
    const text = await readFile(path, "utf8").catch(() => undefined);
    if (text !== undefined) files.push({ dir: dirname(path), config: parseKubeconfig(path, text) });
  }
  if (files.length === 0) {
    throw errorWithHint(
      "InvalidOption",
      `there is no kubeconfig at ${paths}`,
      "name one with --kubeconfig or KUBECONFIG",
    );
  }
  const name = contextName ?? files.map(({ config }) => config["current-context"]).find(Boolean);
  const contexts = files.flatMap(({ config }) => config.contexts ?? []);
  if (contextName !== undefined && !contexts.some((entry) => entry.name === contextName)) {
    throw errorWithHint(
      "InvalidOption",
      `${paths} has no context "${contextName}"`,
      `it has: ${contexts.map((entry) => entry.name).join(", ")}`,
    );
  }
  const context = contexts.find((entry) => entry.name === name)?.context;
  const users = files.flatMap(({ dir, config }) => (config.users ?? []).map((entry) => ({ dir, ...entry })));
  const found = users.find((entry) => entry.name === context?.user);
  const { token, tokenFile } = found?.user ?? {};
  return {
    namespace: context?.namespace || "default",
    token:
      token ??
      (found && tokenFile !== undefined ? await readToken(resolve(found.dir, tokenFile)) : undefined),
  };
}

function parseKubeconfig(path: string, text: string): z.output<typeof kubeconfigSchema> {
  try {
    return kubeconfigSchema.parse(parse(text) ?? {});
  } catch (cause) {
    throw errorWithHint(
      "InvalidOption",
      `${path} is no kubeconfig`,
      "kubectl config view shows what is wrong",
      cause,
    );
  }
}

async function readToken(path: string): Promise<string> {
  return (await readFile(path, "utf8")).trim();
}
