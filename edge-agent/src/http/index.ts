export { startInferenceFront, type InferenceFrontOptions } from "./front.ts";
export { HTTP_METRICS } from "./metrics.ts";
