export { openDataFile } from "./data-file.ts";
export { parseDocument, type ParsedItem } from "./document.ts";
