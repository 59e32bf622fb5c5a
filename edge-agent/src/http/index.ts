export { startInferenceFront, type InferenceFront, type InferenceFrontOptions } from "./front.ts";
export { HTTP_METRICS } from "./metrics.ts";
