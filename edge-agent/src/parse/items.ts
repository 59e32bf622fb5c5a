/** What comes out of a document, and what its readers pass to each other. */
import { AutoglmError, type ErrorCode } from "@autoglm/api";

export const MEDIA_TYPES = [
  "image/png",
  "image/jpeg",
  "image/webp",
  "audio/wav",
  "audio/flac",
  "audio/mpeg",
  "audio/ogg",
] as const;
export type MediaType = (typeof MEDIA_TYPES)[number];

/** Bytes that are no text, as the user gave them; only a decoder can say whether they are whole. */
export interface Media {
  readonly type: MediaType;
  readonly bytes: Uint8Array;
}

/** Where a preprocessed item came from: units `start`..`end` of the text of a record of the input. */
export interface ItemSource {
  readonly record: number;
  readonly start: number;
  readonly end: number;
  /** Runs as triples (place in the item's text, start and end in the record's); absent: unit by unit from `start`. */
  readonly offsets?: readonly number[];
}

export interface ItemError {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface ParsedContent {
  /** "" for an image without a text. */
  readonly text: string;
  /** Other named texts of the record, of those that were asked for. */
  readonly fields?: Readonly<Record<string, string>>;
  readonly media?: Media;
  readonly source?: ItemSource;
}

export type ParsedItem =
  | ({ readonly item: number } & ParsedContent)
  | { readonly item: number; readonly error: ItemError };

/** An item before it has a number. */
export type Content = ParsedContent | { readonly error: ItemError };

/** A line, row, element, page or block before the text is taken out of it; `place` is where it stands, e.g. "line 7". */
export type Row =
  | { readonly value: unknown; readonly place: string }
  | { readonly error: ItemError; readonly place: string }
  | { readonly media: Media; readonly place: string };

/** Bytes in order. One that lies in a file of this machine has that file's descriptor besides, for reading in place. */
export interface ByteSource extends AsyncIterable<Uint8Array> {
  readonly file?: { readonly fd: number; readonly size: number };
}

export const invalid = (message: string): ItemError => ({ code: "ItemInvalid", message });

export const tooLong = (maxItemBytes: number): ItemError => ({
  code: "ItemTooLong",
  message: `the item is longer than ${maxItemBytes} bytes; shorten it, or set preprocess to split the texts`,
});

const MAX_MESSAGE_LENGTH = 1000;

/** An error with where it happened in front: `reviews.csv, line 7: …`. */
export function placed(name: string, place: string, error: ItemError): ItemError {
  const where = [name, place].filter((part) => part !== "").join(", ");
  const message = where === "" ? error.message : `${where}: ${error.message}`;
  return { code: error.code, message: message.slice(0, MAX_MESSAGE_LENGTH) };
}

/** For what makes a whole document unreadable. */
export const refuse = (code: ErrorCode, message: string, cause?: unknown): AutoglmError =>
  new AutoglmError(code, message, cause === undefined ? {} : { cause });

/** Names of files and members may be long; a message has to have room for the rest. */
export const shortName = (name: string): string => {
  // oxlint-disable-next-line no-control-regex -- names from archives end up in terminals
  const plain = name.replaceAll(/[\0-\x1f\x7f-\x9f]/g, "?");
  return plain.length <= 160 ? plain : `…${plain.slice(-159)}`;
};
