import type { ParseContext } from "./context.ts";
import { invalid, placed, type ByteSource, type Content, type Media, type MediaType } from "./items.ts";

/** Bytes as stored; how many pixels they are is for the decoder to bound. */
const MAX_MEDIA_BYTES = 32 * 1024 * 1024;

/** An image or recording is one item. */
export async function readMedia(
  source: ByteSource,
  type: MediaType,
  context: ParseContext,
): Promise<Content> {
  const [what = ""] = type.split("/");
  if (context.options.media !== what) {
    const mend =
      what === "image"
        ? "image-to-text, image-classification or another type for images"
        : "automatic-speech-recognition";
    return failure(
      context,
      invalid(
        `it is ${what === "image" ? "an image" : "a recording"}, and the task takes ${context.options.media ?? "text"}; use type ${mend}`,
      ),
    );
  }
  const bytes = await readBounded(source);
  if (bytes !== undefined) return { text: "", media: { type, bytes } };
  const limit = `${MAX_MEDIA_BYTES / 1024 ** 2} MiB`;
  return failure(context, {
    code: "ItemTooLong",
    message: `it has more than ${limit}; store it smaller or more compressed`,
  });
}

/** undefined when it is no image, or larger than one may be. */
export async function readImage(
  source: ByteSource,
  typeOf: (head: Uint8Array) => MediaType | undefined,
): Promise<Media | undefined> {
  const bytes = await readBounded(source);
  const type = bytes && typeOf(bytes);
  return bytes && type?.startsWith("image/") ? { type, bytes } : undefined;
}

const failure = (context: ParseContext, error: Parameters<typeof placed>[2]): Content => ({
  error: placed(context.name, "", error),
});

async function readBounded(source: ByteSource): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    if (size > MAX_MEDIA_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
