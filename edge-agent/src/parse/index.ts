export { openDataFile } from "./data-file.ts";
export { parseDocument } from "./document.ts";
export type { ParseOptions } from "./context.ts";
export type { ByteSource, ItemSource, ParsedItem } from "./items.ts";
