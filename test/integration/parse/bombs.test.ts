/** Small archives that unpack to much, or that say one thing and hold another: made here, since nobody wants them stored. */
import { crc32, deflateRawSync, gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { outcomes, streamOf } from "./documents.ts";
import { parquetBomb } from "./parquet-bomb.ts";

const MIB = 1024 ** 2;
const BOMB = expect.stringMatching(/InputTooLarge: .*unpacks to more than 250 times its size/);

interface Member {
  readonly name: string;
  readonly content: Uint8Array | string;
  /** What the archive says, where that is a lie. */
  readonly size?: number;
}

function zipOf(members: readonly Member[]): Buffer {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content, size } of members) {
    const bytes = Buffer.from(content);
    const packed = deflateRawSync(bytes);
    const head = Buffer.alloc(26);
    head.writeUInt16LE(20, 0);
    // Flag: the name is UTF-8. Method: deflate.
    head.writeUInt16LE(0x800, 2);
    head.writeUInt16LE(8, 4);
    head.writeUInt32LE(crc32(bytes), 10);
    head.writeUInt32LE(packed.length, 14);
    head.writeUInt32LE(size ?? bytes.length, 18);
    head.writeUInt16LE(Buffer.byteLength(name), 22);
    const entry = Buffer.alloc(14);
    entry.writeUInt32LE(offset, 10);
    const file = Buffer.concat([Buffer.from("PK\x03\x04"), head, Buffer.from(name), packed]);
    directory.push(Buffer.from("PK\x01\x02\x14\x00", "latin1"), head, entry, Buffer.from(name));
    files.push(file);
    offset += file.length;
  }
  const index = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(index.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...files, index, end]);
}

const bomb = Buffer.alloc(64 * MIB, "x");
const good = { name: "good.txt", content: "good\n" };

test("the zip archives of this test are read where nothing is wrong with them", async () => {
  const archive = zipOf([good, { name: "二.csv", content: "id,text\n1,很好\n" }]);
  expect(await outcomes(streamOf(archive))).toEqual(["good", "很好"]);
});

test("a bomb in an archive is the error of an item, and the next file is read", async () => {
  const archive = zipOf([{ name: "bomb.txt", content: bomb }, good]);
  expect(archive.length).toBeLessThan(MIB);
  expect(await outcomes(streamOf(archive), { name: "a.zip" })).toEqual([BOMB, "good"]);
});

test("a bomb in gzip, and in gzip in an archive", async () => {
  const gzip = gzipSync(bomb);
  expect(await outcomes(streamOf(gzip), { name: "a.gz" })).toEqual([BOMB]);
  const archive = zipOf([{ name: "bomb.gz", content: gzip }, good]);
  expect(await outcomes(streamOf(archive), { name: "a.zip" })).toEqual([BOMB, "good"]);
});

test.each([
  ["docx", "word/document.xml"],
  ["xlsx", "xl/workbook.xml"],
])("a %s that is a bomb is refused before its reader unpacks it", async (format, part) => {
  const archive = zipOf([{ name: part, content: bomb }]);
  expect(await outcomes(streamOf(archive), { name: `a.${format}` })).toEqual([BOMB]);
});

test("a file that is larger than its archive says is damaged", async () => {
  const archive = zipOf([{ name: "a.txt", content: "one\n".repeat(1000), size: 4 }, good]);
  expect(await outcomes(streamOf(archive), { name: "a.zip" })).toEqual([
    expect.stringMatching(/ItemInvalid: a\.zip\/a\.txt: its data in the zip archive is damaged/),
    "good",
  ]);
});

const LARGE = 250_000_000;

test("the parquet files of this test are read where they tell the truth", async () => {
  const file = parquetBomb({ columns: 3, pageValues: 1, declaredValues: 1 });
  expect(await outcomes(streamOf(file), { name: "a.parquet" })).toEqual([
    expect.stringMatching(/thrown InputFieldNotFound/),
  ]);
});

test("a parquet that declares more values than can be read is refused", async () => {
  const file = parquetBomb({ columns: 1, pageValues: LARGE, declaredValues: LARGE });
  expect(file.length).toBeLessThan(1000);
  expect(await outcomes(streamOf(file), { name: "a.parquet" })).toEqual([
    expect.stringMatching(/InputTooLarge: a\.parquet: row group 1 .* has more than 67108864 values/),
  ]);
});

test("a parquet whose pages hold more than it declares is stopped, and the next file is read", async () => {
  const file = parquetBomb({ columns: 3, pageValues: LARGE, declaredValues: 1 });
  const archive = zipOf([{ name: "bomb.parquet", content: file }, good]);
  expect(await outcomes(streamOf(archive), { name: "a.zip" })).toEqual([
    expect.stringMatching(/InputTooLarge: a\.zip\/bomb\.parquet: .* needs more than 1024 MiB/),
    "good",
  ]);
});
