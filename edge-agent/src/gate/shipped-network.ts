import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readModelFolder } from "../models/model-folder.ts";
import type { ModelOnDisk } from "../models/model-store.ts";

/** Beside the bundle of the agent, or in the checkout. */
const FOLDERS = ["./gate/", "../../../models/gate/"];

/** The network of the pre-gate that comes with the agent (models/gate); undefined where its files are missing. */
export function shippedPreGate(): ModelOnDisk | undefined {
  const folder = FOLDERS.map((path) => fileURLToPath(new URL(path, import.meta.url))).find((path) =>
    existsSync(`${path}model.onnx`),
  );
  return folder === undefined ? undefined : readModelFolder(folder.replace(/\/$/, ""));
}
