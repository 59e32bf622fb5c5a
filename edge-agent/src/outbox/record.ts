/**
 * One record of the outbox's segment files, little endian:
 *
 *    0  magic         FF 41 47 FE: FF and FE never occur in UTF-8, so a body can't look like the start of a record
 *    4  headerLength  u32
 *    8  bodyLength    u32
 *   12  bodyCrc       u32, CRC-32 of the body
 *   16  headerCrc     u32, CRC-32 of bytes 4..16 and the header
 *   20  header        UTF-8 JSON, says whose record it is
 *       body          bytes as they go onto the wire
 *
 * The header has a checksum of its own: when a bit of a body flips, it is still known *which* chunk is lost, and the
 * next record is found by length. When a bit of a header flips, the scan looks for the next magic with a good header.
 *
 * What a scan finds wrong is one of three: `torn`, an end of the last segment that was being written when the process
 * died, never acknowledged to anyone and so no loss; a lost record whose header is good; an unknown loss.
 */
import { crc32 } from "node:zlib";
import { assignmentKeySchema } from "@autoglm/api";
import { z } from "zod";

const MAGIC = 0xfe4741ff;
const FIXED_BYTES = 20;
/** No header or body comes near; a length above it is damage. */
const MAX_PART_BYTES = 4 * 1024 * 1024;

const counter = z.int().min(0);
/** Without the wire's limit: what was accepted out of order may be in many pieces. */
const rangesSchema = z.array(z.tuple([counter, counter]));
const recordHeaderSchema = z.discriminatedUnion("kind", [
  /** A sealed chunk; the body is its wire form. */
  z.object({
    kind: z.literal("chunk"),
    seq: counter,
    key: assignmentKeySchema,
    chunk: counter,
    items: rangesSchema,
    producedAt: z.string(),
    total: counter.optional(),
  }),
  /** What is known of an assignment beside its pending chunks; the one with the highest seq counts. */
  z.object({
    kind: z.literal("state"),
    seq: counter,
    key: assignmentKeySchema,
    grant: z.string(),
    acceptedThrough: z.int().min(-1),
    acceptedItems: rangesSchema,
    total: counter.optional(),
    unlistedAt: z.number().optional(),
  }),
  /** Everything with this key and a smaller seq is gone. */
  z.object({ kind: z.literal("forget"), seq: counter, key: assignmentKeySchema }),
]);
export type RecordHeader = z.infer<typeof recordHeaderSchema>;

export interface ScannedRecord {
  readonly header: RecordHeader;
  readonly offset: number;
  /** Bytes of the whole record. */
  readonly length: number;
  readonly bodyOffset: number;
  readonly bodyLength: number;
}

export interface SegmentScan {
  readonly records: readonly ScannedRecord[];
  /** Records that are damaged, but whose header is good. */
  readonly lost: readonly RecordHeader[];
  /** Damaged places that may have held one record or more. */
  readonly unknownLosses: number;
  /** Where a torn end begins: cut the file there. Equals the file's length when nothing is torn. */
  readonly end: number;
  readonly isTorn: boolean;
}

export function encodeRecord(header: RecordHeader, body: Uint8Array = new Uint8Array()): Buffer {
  const headerBytes = Buffer.from(JSON.stringify(header));
  const record = Buffer.alloc(FIXED_BYTES + headerBytes.length + body.length);
  record.writeUInt32LE(MAGIC, 0);
  record.writeUInt32LE(headerBytes.length, 4);
  record.writeUInt32LE(body.length, 8);
  record.writeUInt32LE(crc32(body), 12);
  record.writeUInt32LE(crc32(headerBytes, crc32(record.subarray(4, 16))), 16);
  headerBytes.copy(record, FIXED_BYTES);
  record.set(body, FIXED_BYTES + headerBytes.length);
  return record;
}

/** Reads one record where one is known to be; undefined when header or body is damaged. */
export function decodeRecord(record: Buffer): { header: RecordHeader; body: Buffer } | undefined {
  const head = readHead(record, 0);
  if (!head || !bodyIsGood(record, head)) return undefined;
  return {
    header: head.header,
    body: record.subarray(head.bodyOffset, head.bodyOffset + head.bodyLength),
  };
}

/**
 * Finds every good record of a segment, whatever happened to the bytes between them.
 * @param mayBeTorn this is the last segment: an incomplete record at its end was never acknowledged
 */
export function scanSegment(bytes: Buffer, { mayBeTorn }: { readonly mayBeTorn: boolean }): SegmentScan {
  const records: ScannedRecord[] = [];
  const lost: RecordHeader[] = [];
  let unknownLosses = 0;
  let offset = 0;
  while (offset < bytes.length) {
    const head = readHead(bytes, offset);
    if (head && offset + head.length <= bytes.length) {
      if (bodyIsGood(bytes, head)) records.push(head);
      else lost.push(head.header);
      offset += head.length;
      continue;
    }
    const next = findHead(bytes, offset + 1);
    if (next === undefined) {
      if (mayBeTorn && looksTorn(bytes.subarray(offset))) {
        return { records, lost, unknownLosses, end: offset, isTorn: true };
      }
      if (head) lost.push(head.header);
      else unknownLosses++;
      break;
    }
    if (head) lost.push(head.header);
    else unknownLosses++;
    offset = next;
  }
  return { records, lost, unknownLosses, end: bytes.length, isTorn: false };
}

interface Head extends ScannedRecord {
  readonly bodyCrc: number;
}

function readHead(bytes: Buffer, offset: number): Head | undefined {
  if (offset + FIXED_BYTES > bytes.length || bytes.readUInt32LE(offset) !== MAGIC) return undefined;
  const headerLength = bytes.readUInt32LE(offset + 4);
  const bodyLength = bytes.readUInt32LE(offset + 8);
  const bodyOffset = offset + FIXED_BYTES + headerLength;
  if (headerLength > MAX_PART_BYTES || bodyLength > MAX_PART_BYTES || bodyOffset > bytes.length) {
    return undefined;
  }
  const headerBytes = bytes.subarray(offset + FIXED_BYTES, bodyOffset);
  const crc = crc32(headerBytes, crc32(bytes.subarray(offset + 4, offset + 16)));
  if (crc !== bytes.readUInt32LE(offset + 16)) return undefined;
  const header = recordHeaderSchema.safeParse(JSON.parse(headerBytes.toString()));
  if (!header.success) return undefined;
  const length = FIXED_BYTES + headerLength + bodyLength;
  const bodyCrc = bytes.readUInt32LE(offset + 12);
  return { header: header.data, offset, length, bodyOffset, bodyLength, bodyCrc };
}

function bodyIsGood(bytes: Buffer, head: Head): boolean {
  const end = head.bodyOffset + head.bodyLength;
  return end <= bytes.length && crc32(bytes.subarray(head.bodyOffset, end)) === head.bodyCrc;
}

function findHead(bytes: Buffer, from: number): number | undefined {
  for (let at = bytes.indexOf(0xff, from); at !== -1; at = bytes.indexOf(0xff, at + 1)) {
    if (readHead(bytes, at)) return at;
  }
  return undefined;
}

/**
 * A write that the process died in leaves a beginning of a record, or blocks of zeros where the file grew before its
 * content was written. Anything else is damage to something that had been acknowledged.
 */
function looksTorn(rest: Buffer): boolean {
  if (rest.length < FIXED_BYTES) return true;
  if (rest.every((byte) => byte === 0)) return true;
  if (rest.readUInt32LE(0) !== MAGIC) return false;
  return FIXED_BYTES + rest.readUInt32LE(4) + rest.readUInt32LE(8) > rest.length;
}
