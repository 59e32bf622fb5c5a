import type { ChunkAddress, DesiredDocument, Heartbeat, ItemResult, TaskType, WorkSpec } from "@autoglm/api";
import type { ModelOnDisk } from "../models/model-store.ts";
import type { ParsedItem } from "../parse/index.ts";

/** What runs models. */
export interface InferenceEngine {
  /** Resolves when the model is loaded and warmed; 0 ms when it was loaded already. */
  load(model: ModelOnDisk, signal: AbortSignal): Promise<{ readonly loadMs: number }>;
  /** Exactly one result for every item, in any order; a bad item yields its error alone. */
  infer(request: {
    readonly model: ModelOnDisk;
    readonly type: TaskType;
    readonly items: AsyncIterable<ParsedItem>;
    readonly parameters: WorkSpec["parameters"];
    readonly signal: AbortSignal;
  }): AsyncIterable<ItemResult>;
  /** Of the loaded models; memory of their processes. */
  reports(): readonly {
    readonly model: string;
    readonly variant: string;
    readonly memoryBytes: number;
    readonly itemMs?: number;
  }[];
  /** Memory of all its processes. */
  usedBytes(): number;
  close(): Promise<void>;
}

/** The bus as the agent sees it; all calls fail with `BusUnavailable` while the link is cut. */
export interface AgentLink {
  isConnected(): boolean;
  fetchDesired(): Promise<DesiredDocument | undefined>;
  fetchSpec(sha256: string): Promise<Uint8Array | undefined>;
  publishChunk(address: ChunkAddress, body: Uint8Array, grant: string): Promise<"stored" | "duplicate">;
  publishHeartbeat(heartbeat: Heartbeat): void;
}
