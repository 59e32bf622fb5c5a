export { createEngine, type Engine, type EngineOptions, type InferOptions } from "./engine.ts";
export type { ItemOwner } from "./queued-item.ts";
export { itemOutputOf } from "./results.ts";
export type { ModelOnDisk } from "./served-model.ts";
