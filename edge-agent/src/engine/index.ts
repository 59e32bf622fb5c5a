export {
  createEngine,
  type Engine,
  type EngineOptions,
  type InferOptions,
  type ModelState,
} from "./engine.ts";
export type { OnlineRequest } from "./online-queue.ts";
export type { ItemOwner } from "./queued-item.ts";
export { itemOutputOf } from "./results.ts";
export type { ModelOnDisk } from "./served-model.ts";
