import { createHash, randomBytes } from "node:crypto";
import { API_VERSION } from "@autoglm/api";
import { type ConnectionOptions, withCluster } from "../cluster.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { type CliIo, say } from "../io.ts";
import { FLEET_NODES } from "../objects.ts";

export interface EnrolOptions extends ConnectionOptions {
  /** How long the token is good for, milliseconds. */
  readonly expiresIn: number;
  readonly signal: AbortSignal;
}

/** Lets an agent enrol as this node, once: stores the token's hash, prints the token, keeps it nowhere. */
export async function enrolNode(io: CliIo, name: string, options: EnrolOptions): Promise<ExitCode> {
  const token = randomBytes(24).toString("base64url");
  const expiresAt = new Date(Date.now() + options.expiresIn).toISOString();
  await withCluster(io, options, ({ client }) =>
    client.apply(
      FLEET_NODES,
      {
        apiVersion: API_VERSION,
        kind: FLEET_NODES.kind,
        metadata: { name },
        spec: { enrolment: { tokenSha256: createHash("sha256").update(token).digest("hex"), expiresAt } },
      },
      { signal: options.signal },
    ),
  );
  io.stdout.write(`${token}\n`);
  say(io, `${name} may enrol with this token, once, until ${expiresAt}`);
  return EXIT.ok;
}
