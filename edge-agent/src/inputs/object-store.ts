/** An object of an S3-compatible store: path style, Signature Version 4. */
import { readFile } from "node:fs/promises";
import { AutoglmError } from "@autoglm/api";
import { AwsV4Signer } from "aws4fetch";
import { readHttp, type HttpSourceOptions } from "./http-source.ts";

export interface ObjectStoreOptions {
  readonly url: string;
  readonly region: string;
  /** Files, so that a rotated secret counts from the next object on. */
  readonly accessKeyFile: string;
  readonly secretKeyFile: string;
}

/**
 * Bytes of an object.
 * @throws AutoglmError `InvalidOption` without a store or its keys, `InputUnavailable`, `InputTooLarge`
 */
export async function* readObject(
  { bucket, key }: { readonly bucket: string; readonly key: string },
  store: ObjectStoreOptions | undefined,
  options: Pick<HttpSourceOptions, "maxBytes" | "silenceMs" | "signal" | "onValidator">,
): AsyncGenerator<Uint8Array> {
  const name = `object ${bucket}/${key}`;
  if (store === undefined) {
    throw new AutoglmError(
      "InvalidOption",
      `${name}: the node has no object store; set AUTOGLM_OBJECT_STORE_URL, AUTOGLM_OBJECT_STORE_ACCESS_KEY_FILE and AUTOGLM_OBJECT_STORE_SECRET_KEY_FILE there`,
    );
  }
  if (key.split("/").some((segment) => segment === "." || segment === "..")) {
    // An address would lose them on its way, and name another object.
    throw new AutoglmError(
      "InputUnavailable",
      `${name}: a key must have no . or .. between slashes; copy the object to another key`,
      {
        retry: "never",
      },
    );
  }
  const base = store.url.replace(/\/+$/, "");
  const path = [bucket, ...key.split("/")].map(encodeURIComponent).join("/");
  const signer = new AwsV4Signer({
    method: "GET",
    url: `${base}/${path}`,
    accessKeyId: await readKey(store.accessKeyFile, "AUTOGLM_OBJECT_STORE_ACCESS_KEY_FILE"),
    secretAccessKey: await readKey(store.secretKeyFile, "AUTOGLM_OBJECT_STORE_SECRET_KEY_FILE"),
    service: "s3",
    region: store.region,
  });
  const { url, headers } = await signer.sign();
  yield* readHttp(url.toString(), { ...options, name, headers: Object.fromEntries(headers) });
}

async function readKey(file: string, option: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (cause) {
    throw new AutoglmError(
      "InvalidOption",
      `${option}: ${file} can't be read; name a file that holds the key alone`,
      {
        cause,
      },
    );
  }
}
