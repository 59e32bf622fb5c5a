/**
 * A parquet file written by hand, since no writer lies: columns of doubles whose one page says how many values it holds and
 * has them all from a dictionary of one, at no bit each. Format: parquet.thrift of apache/parquet-format, in Thrift's
 * compact protocol.
 */

export interface ParquetBomb {
  readonly columns: number;
  /** As each page says. */
  readonly pageValues: number;
  /** As the footer says of each column. */
  readonly declaredValues: number;
}

const I32 = 5;
const I64 = 6;
const BINARY = 8;
const LIST = 9;
const STRUCT = 12;

const DATA_PAGE = 0;
const DICTIONARY_PAGE = 2;
const DOUBLE = 5;
const PLAIN = 0;
const RLE = 3;
const RLE_DICTIONARY = 8;

type Field = readonly [id: number, type: number, value: readonly number[]];

const varint = (value: number): readonly number[] =>
  value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
const i32 = (id: number, value: number): Field => [id, I32, varint(2 * value)];
const i64 = (id: number, value: number): Field => [id, I64, varint(2 * value)];
const textOf = (value: string) => [...varint(value.length), ...Buffer.from(value, "latin1")];
/** Of less than 15 members. */
const list = (id: number, type: number, members: readonly (readonly number[])[]): Field => [
  id,
  LIST,
  [(members.length << 4) | type, ...members.flat()],
];

function struct(...fields: readonly Field[]): readonly number[] {
  let last = 0;
  const bytes = fields.flatMap(([id, type, value]) => {
    const head = ((id - last) << 4) | type;
    last = id;
    return [head, ...value];
  });
  return [...bytes, 0];
}

function pageOf(type: number, header: Field, content: readonly number[]): readonly number[] {
  return [...struct(i32(1, type), i32(2, content.length), i32(3, content.length), header), ...content];
}

export function parquetBomb({ columns, pageValues, declaredValues }: ParquetBomb): Uint8Array {
  const dictionary = pageOf(
    DICTIONARY_PAGE,
    [7, STRUCT, struct(i32(1, 1), i32(2, PLAIN))],
    [...Buffer.from(Float64Array.of(0.5).buffer)],
  );
  const dataHeader = struct(i32(1, pageValues), i32(2, RLE_DICTIONARY), i32(3, RLE), i32(4, RLE));
  const page = pageOf(DATA_PAGE, [5, STRUCT, dataHeader], [0]);
  const chunkBytes = dictionary.length + page.length;
  const names = Array.from({ length: columns }, (_, index) => `column${index}`);
  const schema = [
    struct([4, BINARY, textOf("schema")], i32(5, columns)),
    ...names.map((name) => struct(i32(1, DOUBLE), i32(3, 0), [4, BINARY, textOf(name)])),
  ];
  const chunks = names.map((name, index) => {
    const start = 4 + index * chunkBytes;
    const metadata = struct(
      i32(1, DOUBLE),
      list(2, I32, [varint(2 * RLE_DICTIONARY)]),
      list(3, BINARY, [textOf(name)]),
      i32(4, 0),
      i64(5, declaredValues),
      i64(6, chunkBytes),
      i64(7, chunkBytes),
      i64(9, start + dictionary.length),
      i64(11, start),
    );
    return struct(i64(2, start), [3, STRUCT, metadata]);
  });
  const group = struct(list(1, STRUCT, chunks), i64(2, columns * chunkBytes), i64(3, 1));
  const footer = struct(i32(1, 1), list(2, STRUCT, schema), i64(3, 1), list(4, STRUCT, [group]));
  const end = Buffer.alloc(4);
  end.writeUInt32LE(footer.length);
  return Buffer.concat([
    Buffer.from("PAR1"),
    Buffer.from(names.flatMap(() => [...dictionary, ...page])),
    Buffer.from(footer),
    end,
    Buffer.from("PAR1"),
  ]);
}
