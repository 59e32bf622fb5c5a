/** YAML manifests of the checkout, as values. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { homedir } from "node:os";
import { modelSpecSchema } from "@autoglm/api";
import { parseAllDocuments } from "yaml";
import { z } from "zod";

const manifestSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** All documents of one file. */
export function readManifests(file: string): readonly Manifest[] {
  return parseAllDocuments(readFileSync(file, "utf8")).map((document) =>
    manifestSchema.parse(document.toJS()),
  );
}

/** All documents of the YAML files of a folder, in the order of their names; not of folders below it. */
export function readManifestFolder(folder: string): readonly Manifest[] {
  const files = readdirSync(folder).filter((file) => file.endsWith(".yaml"));
  return files.toSorted().flatMap((file) => readManifests(join(folder, file)));
}

/** The sample models whose files are in the cache, and the hosted ones. */
export function catalogueManifests(): readonly Manifest[] {
  const blobs = join(modelBlobsDir(), "sha256");
  const local = readManifests("models/catalogue.yaml").filter((manifest) =>
    modelSpecSchema
      .parse(manifest["spec"])
      .variants.every(({ files = [] }) => files.every(({ sha256 }) => existsSync(join(blobs, sha256)))),
  );
  return [...local, ...readManifests("models/endpoints.yaml")];
}

/** Where tools, models and downloads are cached. */
function cacheDir(): string {
  const { AUTOGLM_CACHE, XDG_CACHE_HOME } = process.env;
  return AUTOGLM_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), ".cache"), "autoglm");
}

/** Model files by digest, as `models/build` leaves them. */
export const modelBlobsDir = (): string => join(cacheDir(), "models", "blobs");
