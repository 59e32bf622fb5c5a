/** Plain HTTP in front of a real API server, that remembers what was asked in the words of RBAC, and what was refused. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";
import { request as httpsRequest } from "node:https";
import { readFile } from "node:fs/promises";
import type { TestCluster } from "../../support/cluster.ts";

export interface RecordingProxy {
  readonly url: string;
  /** `verb group/resource`, as RBAC names it; discovery is left out. */
  readonly used: ReadonlySet<string>;
  /** As `used`, with status 403. */
  readonly forbidden: ReadonlySet<string>;
  close(): Promise<void>;
}

export async function startRecordingProxy(cluster: TestCluster): Promise<RecordingProxy> {
  // Written by hack/cluster as JSON.
  const config = JSON.parse(await readFile(cluster.kubeconfigPath, "utf8")) as {
    clusters: { cluster: { "certificate-authority-data": string } }[];
  };
  const ca = Buffer.from(config.clusters[0]?.cluster["certificate-authority-data"] ?? "", "base64");
  const used = new Set<string>();
  const forbidden = new Set<string>();
  const server = createServer((incoming, outgoing) => forward(incoming, outgoing));
  const forward = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const { method = "GET", url = "/", headers } = incoming;
    const right = rightOf(method, new URL(url, cluster.serverUrl));
    if (right !== undefined) used.add(right);
    const onwards = httpsRequest(new URL(url, cluster.serverUrl), { method, headers, ca }, (answer) => {
      const { statusCode = 502 } = answer;
      if (statusCode === 403) forbidden.add(right ?? `${method} ${url}`);
      outgoing.writeHead(statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    onwards.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onwards.destroy());
    incoming.pipe(onwards);
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no TCP address");
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return { url: `http://127.0.0.1:${address.port}`, used, forbidden, close };
}

const VERBS: Readonly<Record<string, string>> = {
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/** /apis/GROUP/VERSION/[namespaces/NS/]RESOURCE[/NAME[/SUBRESOURCE]]; /api/VERSION/… for the core group. */
function rightOf(method: string, { pathname, searchParams }: URL): string | undefined {
  const match =
    /^\/(?:api|apis\/([^/]+))\/v[^/]+\/(?:namespaces\/[^/]+\/)?([^/]+)(?:\/([^/]+)(?:\/([^/]+))?)?$/.exec(
      pathname,
    );
  if (match === null) return undefined;
  const [, group = "", resource, name, subresource] = match;
  const isWatch = searchParams.get("watch") !== null;
  const read = name !== undefined ? "get" : isWatch ? "watch" : "list";
  const kind = subresource === undefined ? resource : `${resource}/${subresource}`;
  return `${VERBS[method] ?? read} ${group}/${kind}`;
}
