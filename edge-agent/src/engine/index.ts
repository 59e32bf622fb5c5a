export { createEngine, type Engine, type EngineOptions, type InferOptions } from "./engine.ts";
export type { ModelOnDisk } from "./served-model.ts";
