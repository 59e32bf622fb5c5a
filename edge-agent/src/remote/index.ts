export { RemoteEngine, type RemoteEngineOptions } from "./engine.ts";
export { REMOTE_METRICS } from "./metrics.ts";
