/** Documents that are too large to be stored: made while they are read. */
const PIECE_BYTES = 64 * 1024;
const MEBIBYTE = 1024 * 1024;

export type LargeDocument = keyof typeof DOCUMENTS;

/** Pieces of a document of about so many MiB. */
export function largeDocument(name: LargeDocument, mebibytes: number): AsyncGenerator<Uint8Array> {
  return DOCUMENTS[name](mebibytes * MEBIBYTE);
}

const REVIEW =
  'The "blue" room was clean,\nthe staff were kind and breakfast came early; only the street, with its trams, was loud at night. 酒店很好，下次还来';
/** Rows as people have them: quotes, line ends inside of quotes, two scripts. */
const row = (id: number) => `${id},"${REVIEW.replaceAll('"', '""')} ${id}",positive\r\n`;
const record = (id: number) => `${JSON.stringify({ id, text: `${REVIEW} ${id}`, label: "positive" })}\n`;

const DOCUMENTS = {
  csv: (bytes: number) => rows("id,text,label\r\n", row, bytes),
  jsonl: (bytes: number) => rows("", record, bytes),
  "text with a long line": (bytes: number) => filled("first\n", bytes, "\nlast\n"),
  "jsonl with a long line": (bytes: number) =>
    filled('{"text":"first"}\n{"text":"second"}\n{"text":"', bytes, '"}\n{"text":"last"}\n'),
  "jsonl of one long line": (bytes: number) => filled('{"text":"', bytes, '"}\n{"text":"last"}\n'),
  "csv with a long cell": (bytes: number) => filled("id,text\n1,first\n2,", bytes, "\n3,last\n"),
  "csv with a long quoted cell": (bytes: number) => filled('id,text\n1,first\n2,"', bytes, '"\n3,last\n'),
  "html with a long paragraph": (bytes: number) =>
    filled("<html><body><p>first</p><p>", bytes, "</p><p>last</p></body></html>"),
  "html with a long attribute": (bytes: number) =>
    filled('<html><body><p>first</p><p title="', bytes, '">last</p></body></html>'),
  "markdown with a long line": (bytes: number) =>
    filled("# first\n\n- *second*\n- third\n\n", bytes, "\n\nlast\n"),
  "a long JSON text": (bytes: number) => filled('["', bytes, '"]'),
  "a long XML element": (bytes: number) => filled('<?xml version="1.0"?><a><b>', bytes, "</b></a>"),
} satisfies Record<string, (bytes: number) => AsyncGenerator<Uint8Array>>;

async function* rows(head: string, rowOf: (id: number) => string, bytes: number): AsyncGenerator<Uint8Array> {
  let text = head;
  let made = 0;
  for (let id = 0; made < bytes; id++) {
    text += rowOf(id);
    if (text.length < PIECE_BYTES) continue;
    const piece = Buffer.from(text);
    made += piece.length;
    text = "";
    yield piece;
  }
}

async function* filled(head: string, bytes: number, tail: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(head);
  const piece = Buffer.alloc(PIECE_BYTES, "words and ");
  for (let made = 0; made < bytes; made += piece.length) yield piece;
  yield Buffer.from(tail);
}
