/** The other servers' packages, the models and the requests, made on first use by `peers/prepare.py`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { z } from "zod";

export const PEERS_DIR = join(import.meta.dirname, "..", "peers");

const preparedSchema = z.object({
  /** A python with FastAPI, KServe, BentoML and LitServe. */
  servers: z.string(),
  /** A python with MLServer; null where there is none for this version of Python. */
  mlserver: z.string().nullable(),
  models: z.string(),
});
export type Prepared = z.infer<typeof preparedSchema>;

export async function preparePeers(): Promise<Prepared> {
  const child = spawn("python3", [join(PEERS_DIR, "prepare.py")], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  const output = await text(child.stdout);
  const [code] = (await exit) as [number | null];
  if (code !== 0) throw new Error("hack/bench/peers/prepare.py failed; its message is above");
  return preparedSchema.parse(JSON.parse(output));
}
