import { getDocumentProxy, getResolvedPDFJS } from "unpdf";
import { invalid, refuse, type Media, type Row } from "./items.ts";
import { encodePng } from "./png.ts";

export const MAX_PAGES = 5000;
/** A4 at 600 dpi is 35 million. */
const MAX_IMAGE_PIXELS = 64 * 1024 * 1024;

/**
 * Pages of a PDF by their text layer. A page without one is a scan: its image, where images are wanted, else an error of
 * that page. Scripts, forms and attachments are not looked at.
 */
export async function* readPdf(
  bytes: Uint8Array,
  { wantsImages }: { readonly wantsImages: boolean },
): AsyncGenerator<Row> {
  const pdf = await openPdf(bytes);
  try {
    if (pdf.numPages > MAX_PAGES) {
      throw refuse(
        "InputTooLarge",
        `a pdf may have ${MAX_PAGES} pages; this one has ${pdf.numPages}, so split it`,
      );
    }
    for (let number = 1; number <= pdf.numPages; number++) yield await readPage(pdf, number, wantsImages);
  } finally {
    await pdf.loadingTask.destroy();
  }
}

type Pdf = Awaited<ReturnType<typeof getDocumentProxy>>;
type Page = Awaited<ReturnType<Pdf["getPage"]>>;

async function openPdf(bytes: Uint8Array): Promise<Pdf> {
  try {
    // pdf.js takes the array for itself.
    return await getDocumentProxy(Uint8Array.from(bytes), {
      useSystemFonts: false,
      disableFontFace: true,
      maxImageSize: MAX_IMAGE_PIXELS,
      verbosity: 0,
    });
  } catch (error) {
    if (error instanceof Error && error.name === "PasswordException") {
      throw refuse("ItemInvalid", "the pdf is protected by a password; save it without one", error);
    }
    throw refuse(
      "ItemInvalid",
      "the pdf is damaged or cut off; save it again with the program that made it",
      error,
    );
  }
}

async function readPage(pdf: Pdf, number: number, wantsImages: boolean): Promise<Row> {
  const place = `page ${number}`;
  try {
    const page = await pdf.getPage(number);
    try {
      const text = await pageText(page);
      if (text !== "" && !wantsImages) return { value: text, place };
      const media = wantsImages ? await pageImage(page) : undefined;
      if (media !== undefined) return { media, place };
      const problem = wantsImages ? noImage(text) : (await showsText(page)) ? NO_LETTERS : NO_TEXT;
      return { error: invalid(problem), place };
    } finally {
      page.cleanup();
    }
  } catch {
    return { error: invalid("the page is damaged; save the pdf again with the program that made it"), place };
  }
}

const NO_TEXT =
  "the page has no text layer, as scanned pages have none; use type image-to-text to read it, or run OCR over the pdf first";

const NO_LETTERS =
  "the page's fonts don't say which characters they show; save the pdf with embedded fonts, or use type image-to-text on an image of it";

const noImage = (text: string) =>
  text === ""
    ? "the page has neither text nor an image that fills it; render it as png"
    : "the page has text and no scanned image; use a type that takes text, or render the page as png";

async function pageText(page: Page): Promise<string> {
  const { items } = await page.getTextContent();
  const text = items.map((item) => ("str" in item ? item.str + (item.hasEOL ? "\n" : "") : "")).join("");
  return (
    text
      .replaceAll("\0", "")
      // From the first blank of a run alone: a run that ends in no line end is not tried again from each of its blanks.
      .replaceAll(/(?<![ \t])[ \t]+\n/g, "\n")
      .trim()
  );
}

async function showsText(page: Page): Promise<boolean> {
  const { OPS } = await getResolvedPDFJS();
  const { fnArray } = await page.getOperatorList();
  return fnArray.includes(OPS.showText);
}

/** The largest image that the page shows. */
async function pageImage(page: Page): Promise<Media | undefined> {
  const { OPS } = await getResolvedPDFJS();
  const { fnArray, argsArray } = await page.getOperatorList();
  let largest: PdfImage | undefined;
  for (const [index, operation] of fnArray.entries()) {
    const [argument] = (argsArray[index] ?? []) as unknown[];
    let image: unknown;
    if (operation === OPS.paintImageXObject && typeof argument === "string")
      image = await imageObject(page, argument);
    else if (operation === OPS.paintInlineImageXObject) image = argument;
    if (isImage(image) && image.width * image.height > (largest ? largest.width * largest.height : 0))
      largest = image;
  }
  return largest && { type: "image/png", bytes: encodePng(largest) };
}

interface PdfImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

function imageObject(page: Page, key: string): Promise<unknown> {
  const objects = key.startsWith("g_") ? page.commonObjs : page.objs;
  return new Promise((resolve) => objects.get(key, resolve));
}

function isImage(value: unknown): value is PdfImage {
  if (typeof value !== "object" || value === null) return false;
  return "width" in value && "height" in value && "data" in value && ArrayBuffer.isView(value.data);
}
