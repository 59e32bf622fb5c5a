/** What the agent's loop needs from the engine and the bus, as narrow as it uses them. */
import type {
  ChunkAddress,
  DesiredDocument,
  EndpointWorkModel,
  Heartbeat,
  ItemResult,
  TaskType,
  WorkPrompt,
  WorkSpec,
} from "@autoglm/api";
import type { ModelOnDisk } from "../models/model-store.ts";
import type { ParsedItem } from "../parse/index.ts";

/** A model that can be asked: files on the disk, or an endpoint. */
export type RunnableModel = ModelOnDisk | EndpointWorkModel;

export const isEndpoint = (model: RunnableModel): model is EndpointWorkModel => "endpoint" in model;

export interface InferRequest<Model = RunnableModel> {
  readonly model: Model;
  readonly type: TaskType;
  readonly items: AsyncIterable<ParsedItem>;
  readonly parameters: WorkSpec["parameters"];
  /** How a generating model is asked: one of these, by the language of each text. */
  readonly prompts?: readonly WorkPrompt[] | undefined;
  readonly signal: AbortSignal;
}

/** What runs models of one kind, or of all (engine-router.ts). */
export interface InferenceEngine<Model = RunnableModel> {
  /** Resolves when the model is loaded and warmed, or its endpoint answers; 0 ms when it was before. */
  load(model: Model, signal: AbortSignal): Promise<{ readonly loadMs: number }>;
  /** Exactly one result for every item, in any order; a bad item yields its error alone. */
  infer(request: InferRequest<Model>): AsyncIterable<ItemResult>;
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
