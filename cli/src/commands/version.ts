import { API_VERSION } from "@autoglm/api";
import { type ConnectionOptions, withCluster } from "../cluster.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import type { CliIo } from "../io.ts";
import { CLI_VERSION } from "../version.ts";

export interface VersionOptions extends ConnectionOptions {
  readonly output?: "json";
  readonly signal: AbortSignal;
}

const SERVER_TIMEOUT_MS = 3000;

/** Ours, that of our kinds, and the API server's where it can be reached. */
export async function version(io: CliIo, options: VersionOptions): Promise<ExitCode> {
  const server = await serverVersion(io, options).catch(() => undefined);
  const versions = { client: CLI_VERSION, api: API_VERSION, ...(server !== undefined && { server }) };
  io.stdout.write(
    options.output === "json"
      ? `${JSON.stringify(versions)}\n`
      : Object.entries(versions)
          .map(([what, text]) => `${what}: ${text}\n`)
          .join(""),
  );
  return EXIT.ok;
}

function serverVersion(io: CliIo, options: VersionOptions): Promise<string | undefined> {
  return withCluster(io, options, async ({ client }) => {
    const body = await client.request({
      method: "GET",
      path: "/version",
      timeoutMs: SERVER_TIMEOUT_MS,
      signal: options.signal,
    });
    // version.Info of apimachinery.
    return (JSON.parse(body) as { readonly gitVersion?: string }).gitVersion;
  });
}
