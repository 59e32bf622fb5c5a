export { mapOutputToRecord } from "./map-output.ts";
export { preprocess } from "./preprocess.ts";
