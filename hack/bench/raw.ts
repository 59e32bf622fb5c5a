/** Plain Node processes with onnxruntime-node: the other side of every comparison. */
import { join } from "node:path";
import { AskedProcess } from "./asked-process.ts";
import type { RawAnswer, RawRequest } from "./raw-process.ts";

export type RawProcess = AskedProcess<RawRequest, RawAnswer>;

export const startRaw = (): Promise<RawProcess> =>
  AskedProcess.start(join(import.meta.dirname, "raw-process.ts"));
