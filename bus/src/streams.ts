import { STREAM_DESIRED, STREAM_LEDGER, STREAM_RESULTS, STREAM_SPECS } from "@autoglm/api";
import type { StreamConfig } from "@nats-io/jetstream";
import { isDeepStrictEqual } from "node:util";
import type { BusConnection } from "./connection.ts";
import { createStream, streamInfo, updateStream } from "./jetstream.ts";

export interface StreamOptions {
  /** When full, agents keep their results and say so. Well below the volume. Default 1 GiB. */
  readonly resultsMaxBytes?: number;
  /** Servers that hold a copy of each stream. Default 1. */
  readonly replicas?: number;
}

const RESULTS_MAX_BYTES = 1024 ** 3;

/**
 * The four streams of the account CLOUD.
 *
 * Whatever has one message per subject replaces it; nothing else is ever evicted: RESULTS refuses when full (`discard
 * new` with `max_bytes` alone: two limits together lost messages silently, nats-server #4771, #4878).
 */
export function streamConfigs(options: StreamOptions = {}): readonly Partial<StreamConfig>[] {
  const { resultsMaxBytes = RESULTS_MAX_BYTES, replicas = 1 } = options;
  const shared = { storage: "file", retention: "limits", num_replicas: replicas } as const;
  const latest = { ...shared, max_msgs_per_subject: 1 } as const;
  // The client declares these as enums whose values are these strings.
  return [
    {
      ...latest,
      name: STREAM_DESIRED,
      subjects: ["desired.*"],
      allow_direct: true,
      // The poke: headers alone, because whoever gets one fetches the document.
      republish: { src: "desired.*", dest: "live.desired.{{wildcard(1)}}", headers_only: true },
    },
    { ...latest, name: STREAM_SPECS, subjects: ["spec.*.*"], allow_direct: true },
    { ...shared, name: STREAM_RESULTS, subjects: ["res.>"], discard: "new", max_bytes: resultsMaxBytes },
    { ...latest, name: STREAM_LEDGER, subjects: ["ledger.*"] },
  ] as Partial<StreamConfig>[];
}

/** Creates what is missing and, if asked to, changes what differs. Idempotent. */
export async function ensureStreams(
  connection: BusConnection,
  configs: readonly Partial<StreamConfig>[],
  { update }: { readonly update: boolean },
): Promise<void> {
  for (const config of configs) {
    const present = (await streamInfo(connection, config.name ?? ""))?.config;
    if (!present) await createStream(connection, config);
    else if (update && !agrees(present, config)) await updateStream(connection, { ...present, ...config });
  }
}

function agrees(present: Partial<StreamConfig>, wanted: Partial<StreamConfig>): boolean {
  return isDeepStrictEqual({ ...present, ...wanted }, present);
}
