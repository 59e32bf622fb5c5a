import mammoth from "mammoth";
import type { Row } from "./items.ts";
import { htmlBlocks } from "./markup.ts";

/**
 * Paragraphs, headings, list items and rows of tables of a Word document, by way of the HTML that mammoth makes of it.
 * Pictures are left out, and files that the document links to are not opened.
 * @param bytes a whole document whose size unpacked was checked
 */
export async function readDocx(bytes: Uint8Array, maxItemBytes: number): Promise<readonly Row[]> {
  const { value } = await mammoth.convertToHtml(
    { buffer: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) },
    { externalFileAccess: false, convertImage: mammoth.images.imgElement(async () => ({ src: "" })) },
  );
  return htmlBlocks(value, maxItemBytes);
}
