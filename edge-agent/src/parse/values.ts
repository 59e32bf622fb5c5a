/** Documents that are one value: JSON, YAML, XML. They are read whole, so their size has a limit. */
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { parseAllDocuments } from "yaml";
import { refuse } from "./items.ts";

export type ValueFormat = "json" | "yaml" | "xml";

/** UTF-16 units. */
export const MAX_VALUE_LENGTH = 32 * 1024 * 1024;
/** Aliases repeat what they name: a few kilobytes can stand for gigabytes. */
const MAX_ALIASES = 100;
/** Deeper values overflow the stack of whoever walks them. */
const MAX_DEPTH = 200;
const ATTRIBUTE = "@";
const TEXT = "#text";

/**
 * The elements of a document: an array, the only array of an object, the documents of a YAML stream, the repeated
 * element of an XML document, or the one value.
 * @throws AutoglmError `InputFormatNotRecognised` for what is not valid, `ItemInvalid` for XML that declares entities
 */
export function readValues(text: string, format: ValueFormat): readonly unknown[] {
  switch (format) {
    case "json":
      return elementsOf(readJson(text));
    case "yaml":
      return readYaml(text);
    case "xml":
      return xmlElements(readXml(text));
    default:
      return format satisfies never;
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ""));
  } catch (error) {
    // The reason that V8 gives quotes the input; the position alone is taken from it.
    const position = error instanceof Error ? /position (\d+)/.exec(error.message)?.[1] : undefined;
    const where = position === undefined ? "" : ` (${lineOf(text, Number(position))})`;
    throw refuse(
      "InputFormatNotRecognised",
      `the input starts like JSON, but is not valid JSON${where}; mend it, or write one value per line as jsonl`,
    );
  }
}

const lineOf = (text: string, position: number) => `line ${text.slice(0, position).split("\n").length}`;

function readYaml(text: string): readonly unknown[] {
  const documents = [];
  try {
    for (const document of parseAllDocuments(text, { logLevel: "silent", prettyErrors: false })) {
      const [error] = document.errors;
      if (error !== undefined) {
        throw refuse(
          "InputFormatNotRecognised",
          `the input is not valid YAML (${lineOf(text, error.pos[0])}: ${error.code}); mend it`,
        );
      }
      documents.push(boundedDepth(document.toJS({ maxAliasCount: MAX_ALIASES })));
    }
  } catch (error) {
    if (error instanceof ReferenceError) {
      throw refuse(
        "ItemInvalid",
        `the YAML repeats itself through more than ${MAX_ALIASES} aliases, as bombs do; write them out`,
        error,
      );
    }
    if (error instanceof RangeError) throw tooDeep(error);
    throw error;
  }
  const filled = documents.filter((document) => document !== null && document !== undefined);
  const [only] = filled;
  return filled.length === 1 ? elementsOf(only) : filled;
}

function readXml(text: string): unknown {
  if (/<!ENTITY/i.test(text)) {
    throw refuse(
      "ItemInvalid",
      `the XML declares entities (${lineOf(text, text.search(/<!ENTITY/i))}), which are never expanded or fetched; write their text out`,
    );
  }
  try {
    const valid = XMLValidator.validate(text);
    if (valid !== true) {
      throw refuse(
        "InputFormatNotRecognised",
        `the input is not well-formed XML (line ${valid.err.line}); mend it`,
      );
    }
    const parser = new XMLParser({
      ignoreAttributes: false,
      attributeNamePrefix: ATTRIBUTE,
      textNodeName: TEXT,
      parseTagValue: false,
      parseAttributeValue: false,
      ignoreDeclaration: true,
      ignorePiTags: true,
      trimValues: true,
      processEntities: true,
      htmlEntities: false,
    });
    return parser.parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw tooDeep(error);
    throw error;
  }
}

const tooDeep = (cause?: unknown) =>
  refuse("ItemInvalid", `the document nests deeper than ${MAX_DEPTH} levels; flatten it`, cause);

function boundedDepth(value: unknown): unknown {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw tooDeep();
    level = level.flatMap((one) => (typeof one === "object" && one !== null ? Object.values(one) : []));
  }
  return value;
}

function elementsOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (!isObject(value)) return [value];
  const arrays = Object.values(value).filter((member) => Array.isArray(member));
  return arrays.length === 1 ? (arrays[0] ?? []) : [value];
}

/** The element that repeats, looked for from the root down; its attributes and children are fields. */
function xmlElements(root: unknown): readonly unknown[] {
  let level: unknown[] = [root];
  for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth++) {
    const repeated = level
      .flatMap((one) => (isObject(one) ? Object.values(one).filter(Array.isArray) : []))
      .sort((a, b) => b.length - a.length)[0];
    if (repeated !== undefined) return repeated.map(flatElement);
    level = level.flatMap((one) => (isObject(one) ? Object.values(one) : []));
  }
  const [document] = isObject(root) ? Object.values(root) : [];
  return [flatElement(document)];
}

/** Names of attributes lose their mark; an element with text alone is its text; deeper elements are their text in order. */
function flatElement(element: unknown): unknown {
  if (!isObject(element)) return element;
  const entries = Object.entries(element).map(([name, value]) => {
    const plain = name === TEXT ? "text" : name.startsWith(ATTRIBUTE) ? name.slice(ATTRIBUTE.length) : name;
    return [plain, typeof value === "object" ? textWithin(value) : value] as const;
  });
  // An attribute never hides a child of its name.
  return Object.fromEntries(entries.reverse());
}

function textWithin(value: unknown): string {
  if (typeof value === "string") return value;
  if (!isObject(value) && !Array.isArray(value)) return "";
  return Object.entries(value)
    .filter(([name]) => !name.startsWith(ATTRIBUTE))
    .map(([, child]) => textWithin(child))
    .filter((text) => text !== "")
    .join(" ");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What lies deeper is nobody's text, and copying it between threads would only recurse. */
export function shallow(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return [];
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, flatMember(member)]));
}

function flatMember(member: unknown): unknown {
  if (Array.isArray(member))
    return member.length <= 1000 && member.every((one) => typeof one === "string") ? member : [];
  if (typeof member === "bigint") return Number(member);
  return typeof member === "object" && member !== null ? {} : member;
}
