/** Rows to items: which field holds the text, which others are wanted, which names an image. */
import { chooseField, findName } from "./fields.ts";
import {
  invalid,
  placed,
  refuse,
  tooLong,
  type Content,
  type ItemError,
  type Media,
  type Row,
} from "./items.ts";
import { peek } from "./peek.ts";

/** Rows that decide which field holds the text. */
const FIELD_SAMPLE_ROWS = 20;
/** Names of a field with the path of an image in the same archive; the first is what data sets of images use. */
const IMAGE_FIELDS = ["file_name", "image", "image_path", "img", "path", "file", "图片"];

type Record = Readonly<globalThis.Record<string, unknown>>;

export interface TextChoice {
  /** Shown in front of every problem. */
  readonly name: string;
  /** The field that the task names. */
  readonly field?: string | undefined;
  /** Names to look for before the well-known ones. */
  readonly textFields?: readonly string[] | undefined;
  /** Wanted besides: the name that it goes by, and the names that it is looked for under. */
  readonly fields?: Readonly<globalThis.Record<string, readonly string[]>> | undefined;
  readonly maxItemBytes: number;
  /** A file of the same archive; undefined: there is none of this name. */
  readonly image?: ((path: string) => Promise<Media | undefined>) | undefined;
}

/**
 * The items of one table, list or sequence of texts.
 * @throws AutoglmError `InputFieldNotFound`
 */
export async function* takeTexts(rows: AsyncGenerator<Row>, choice: TextChoice): AsyncGenerator<Content> {
  let seen = 0;
  const { head, all, close } = await peek(rows, () => ++seen >= FIELD_SAMPLE_ROWS);
  const records = head.flatMap((row) => ("value" in row && isRecord(row.value) ? [row.value] : []));
  const plain = head.some((row) => "value" in row && typeof row.value === "string");
  if (choice.field !== undefined && records.length === 0 && plain) {
    await close();
    throw refuse("InputFieldNotFound", "the items of the input are texts, not records: leave inputField out");
  }
  let taker = records.length > 0 ? takerOf(records, choice) : undefined;
  for await (const row of all) {
    if ("error" in row) yield { error: placed(choice.name, row.place, row.error) };
    else if ("media" in row) yield { text: "", media: row.media };
    else {
      const content = isRecord(row.value)
        ? await (taker ??= takerOf([row.value], choice)).take(row.value)
        : textOf(row.value, "the item");
      if ("error" in content) yield { error: placed(choice.name, row.place, content.error) };
      else if (isLongerThan(content.text, choice.maxItemBytes)) {
        yield { error: placed(choice.name, row.place, tooLong(choice.maxItemBytes)) };
      } else yield content;
    }
  }
}

interface Taker {
  readonly take: (record: Record) => Promise<Content> | Content;
}

function takerOf(records: readonly Record[], choice: TextChoice): Taker {
  const names = [...new Set(records.flatMap((record) => Object.keys(record)))];
  const wanted = Object.entries(choice.fields ?? {}).flatMap(([key, known]) => {
    const name = findName(names, known);
    return name === undefined ? [] : [{ key, name }];
  });
  const { image } = choice;
  const imageName = image && findName(names, IMAGE_FIELDS);
  if (image === undefined || imageName === undefined) {
    const field = chooseField(withoutFields(records, wanted, choice), choice.field, choice.textFields);
    return { take: (record) => withFields(textOf(record[field], `field ${field}`), record, wanted) };
  }
  const field = textFieldBeside(imageName, records, choice);
  return {
    take: async (record) => {
      const path = record[imageName];
      if (typeof path !== "string")
        return { error: invalid(`field ${imageName} is ${kindOf(path)}, not a path`) };
      const media = await image(path);
      if (media === undefined) {
        return {
          error: invalid(
            `the archive has no image of the name in field ${imageName}; add it or mend the path`,
          ),
        };
      }
      const text = field === undefined ? { text: "" } : textOf(record[field] ?? "", `field ${field}`);
      return "error" in text ? text : withFields({ ...text, media }, record, wanted);
    },
  };
}

/** What is asked for by its own name is not the text, unless the task says so. */
function withoutFields(
  records: readonly Record[],
  wanted: readonly { readonly name: string }[],
  { field }: TextChoice,
): readonly Record[] {
  const taken = new Set(wanted.map(({ name }) => name));
  if (taken.size === 0 || field !== undefined) return records;
  return withoutNames(records, taken);
}

const withoutNames = (records: readonly Record[], names: ReadonlySet<string>): readonly Record[] =>
  records.map((record) => Object.fromEntries(Object.entries(record).filter(([name]) => !names.has(name))));

/** An image needs no text beside it. */
function textFieldBeside(
  imageName: string,
  records: readonly Record[],
  choice: TextChoice,
): string | undefined {
  if (choice.field !== undefined) return chooseField(records, choice.field);
  try {
    return chooseField(withoutNames(records, new Set([imageName])), undefined, choice.textFields);
  } catch {
    return undefined;
  }
}

function withFields(
  content: Content,
  record: Record,
  wanted: readonly { readonly key: string; readonly name: string }[],
): Content {
  if ("error" in content) return content;
  const nested = wanted.find(({ name }) => isNested(record[name]));
  if (nested !== undefined) {
    return {
      error: invalid(
        `field ${nested.name} is a list of more than texts and numbers; write it as a list of texts`,
      ),
    };
  }
  const fields = Object.fromEntries(
    wanted.flatMap(({ key, name }) => {
      const value = record[name];
      if (typeof value === "string") return [[key, value]];
      if (typeof value === "number") return [[key, String(value)]];
      return Array.isArray(value) ? [[key, JSON.stringify(value)]] : [];
    }),
  );
  return Object.keys(fields).length === 0 ? content : { ...content, fields };
}

/** Lists in lists would be written by recursion, and may be deeper than the stack. */
const isNested = (value: unknown): boolean =>
  Array.isArray(value) && value.some((one) => !["string", "number", "boolean"].includes(typeof one));

function textOf(value: unknown, what: string): { readonly text: string } | { readonly error: ItemError } {
  if (typeof value === "string") return { text: value };
  return { error: invalid(`${what} is ${kindOf(value)}, not text`) };
}

function isRecord(value: unknown): value is Record {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : `a ${typeof value}`;
}

/** Saves the count where it is clear: a UTF-16 unit is one to three bytes. */
function isLongerThan(text: string, bytes: number): boolean {
  return text.length > bytes || (text.length * 3 > bytes && Buffer.byteLength(text) > bytes);
}
