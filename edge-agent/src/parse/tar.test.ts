import { Header, type HeaderData } from "tar";
import { expect, test } from "vitest";
import { parseDocument } from "./document.ts";

interface Entry {
  readonly name: string;
  readonly content: string;
  readonly type?: HeaderData["type"];
  /** Bytes of the header that are not what they should be: offset → byte. */
  readonly broken?: Readonly<Record<number, number>>;
}

function entryBytes({ name, content, type = "File", broken = {} }: Entry): Buffer {
  const size = Buffer.byteLength(content);
  const header = Buffer.alloc(512);
  new Header({ path: name, mode: 0o644, size, type }).encode(header);
  for (const [offset, byte] of Object.entries(broken)) header[Number(offset)] = byte;
  const body = Buffer.alloc(Math.ceil(size / 512) * 512);
  body.write(content);
  return Buffer.concat([header, body]);
}

async function* archive(entries: readonly Entry[]): AsyncGenerator<Uint8Array> {
  yield Buffer.concat([...entries.map(entryBytes), Buffer.alloc(1024)]);
}

async function outcomes(source: AsyncIterable<Uint8Array>): Promise<string[]> {
  const items = await Array.fromAsync(parseDocument(source, { format: "auto", name: "a.tar" }));
  return items.map((item) => ("text" in item ? item.text : `${item.error.code}: ${item.error.message}`));
}

const good: Entry = { name: "good.txt", content: "good\n" };
const pax = (content: string): Entry => ({ name: "PaxHeader/x", content, type: "ExtendedHeader" });
const DAMAGED = "ItemInvalid: a.tar: the tar archive is damaged or cut off; pack it again";

test("reads the archives of this test where nothing is wrong with them", async () => {
  expect(await outcomes(archive([good, pax("10 size=4\n"), { ...good, content: "more" }]))).toEqual([
    "good",
    "more",
  ]);
});

test.each<[what: string, entry: Entry]>([
  ["half a byte", pax("12 size=0.5\n")],
  ["endless bytes", pax("17 size=Infinity\n")],
])("a member of %s is damage, and the archive ends with it", async (_, entry) => {
  expect(await outcomes(archive([good, entry, good, good]))).toEqual(["good", DAMAGED]);
});

test.each<[field: string, offset: number]>([
  ["mode", 100],
  ["owner", 108],
  ["size", 124],
])("binary numbers that are none, in the field of the %s, are damage", async (_, offset) => {
  const entry = { ...good, broken: { [offset]: 0x90 } };
  expect(await outcomes(archive([good, entry, good]))).toEqual(["good", DAMAGED]);
});

test("a member that makes its parser throw fails alone", async () => {
  const yaml = { name: "bad.yaml", content: "%YAML 1.1\n---\n<<: 5\ntext: secret\nlabel: b\n" };
  const [problem, ...others] = await outcomes(archive([yaml, good]));
  expect(problem).toMatch(/^ItemInvalid: a\.tar\/bad\.yaml: it can't be read \(Error\); save it again/);
  expect(problem).not.toContain("secret");
  expect(others).toEqual(["good"]);
});

test("an error of the source, within a member, is not the member's", async () => {
  const failure = new Error("the disk is gone");
  async function* source(): AsyncGenerator<Uint8Array> {
    yield entryBytes({ ...good, content: "good\n".repeat(1000) }).subarray(0, 2000);
    throw failure;
  }
  await expect(outcomes(source())).rejects.toBe(failure);
});
