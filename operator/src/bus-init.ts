/** `bus-init`: makes the secrets of a new bus once, in a folder or in a Secret, and leaves those that are there alone. */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { AutoglmError, hasErrorCode } from "@autoglm/api";
import { apiVersionOf, loadKubeClient, SECRETS, type KubeClient } from "@autoglm/kube";
import { makeBusFiles, writeBusFiles } from "./bus-files.ts";

const USAGE =
  "bus-init needs --out DIR [--host H] [--port P] [--store-dir DIR] [--jwt-dir DIR], or --secret NAME --namespace NS";

/** As the chart starts its nats-server. */
const SERVER_IN_CLUSTER = {
  host: "0.0.0.0",
  port: 4222,
  monitorPort: 8222,
  storeDir: "/data/streams",
  jwtDir: "/data/jwt",
};

/**
 * Returns the line to print.
 * @param kubeconfigPath for --secret; absent: the service account of the pod
 */
export async function busInit(args: readonly string[], kubeconfigPath?: string): Promise<string> {
  const { out, secret, namespace, ...server } = parse(args);
  if (secret !== undefined && namespace !== undefined && out === undefined) {
    const client = loadKubeClient({ kubeconfigPath });
    try {
      const isNew = await createBusSecret(client, { name: secret, namespace });
      return isNew
        ? `made the Secret ${namespace}/${secret}`
        : unchanged(`the Secret ${namespace}/${secret}`);
    } finally {
      await client.close();
    }
  }
  if (out === undefined || secret !== undefined) throw new AutoglmError("InvalidOption", USAGE);
  const outDir = resolve(out);
  const isWritten = writeBusFiles({
    outDir,
    host: server.host,
    port: Number(server.port),
    storeDir: server["store-dir"] ?? join(outDir, "streams"),
    jwtDir: server["jwt-dir"] ?? join(outDir, "jwt"),
  });
  return isWritten ? `wrote keys and nats.conf to ${outDir}` : unchanged(outDir);
}

/** False when it is there already. Needs the right to create Secrets, and no right to read one. */
async function createBusSecret(
  client: KubeClient,
  metadata: { readonly name: string; readonly namespace: string },
): Promise<boolean> {
  const files = Object.entries(makeBusFiles(SERVER_IN_CLUSTER));
  const data = Object.fromEntries(files.map(([file, text]) => [file, Buffer.from(text).toString("base64")]));
  try {
    await client.create(SECRETS, {
      apiVersion: apiVersionOf(SECRETS),
      kind: SECRETS.kind,
      metadata,
      type: "Opaque",
      data,
    });
    return true;
  } catch (error) {
    if (hasErrorCode(error, "AlreadyExists")) return false;
    throw error;
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        out: { type: "string" },
        host: { type: "string", default: "0.0.0.0" },
        port: { type: "string", default: "4222" },
        "store-dir": { type: "string" },
        "jwt-dir": { type: "string" },
        secret: { type: "string" },
        namespace: { type: "string" },
      },
    }).values;
  } catch (cause) {
    throw new AutoglmError("InvalidOption", USAGE, { cause });
  }
}

const unchanged = (where: string) => `keys are in ${where} already; nothing was changed`;
