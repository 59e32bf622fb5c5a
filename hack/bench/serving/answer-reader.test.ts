import fc from "fast-check";
import { expect, test } from "vitest";
import { type Answer, AnswerReader } from "./answer-reader.ts";

const BODY = '{"outputs":[{"data":[0.25,0.75]}]}';
const answers = {
  "with its length": `HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
  "in chunks": `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n${BODY.slice(0, 10)}\r\n${(BODY.length - 10).toString(16)}\r\n${BODY.slice(10)}\r\n0\r\n\r\n`,
  "that is refused": `HTTP/1.1 429 Too Many Requests\r\ncontent-length:${BODY.length}\r\n\r\n${BODY}`,
};

function feed(reader: AnswerReader, text: string, cuts: readonly number[]): readonly (Answer | undefined)[] {
  const bytes = Buffer.from(text);
  const places = [...new Set(cuts.map((cut) => 1 + (cut % (bytes.length - 1))))].toSorted((a, b) => a - b);
  return [0, ...places].map((start, index) => {
    // One buffer for every read, as the connection has.
    const buffer = Buffer.alloc(1024);
    const length = bytes.copy(buffer, 0, start, places[index] ?? bytes.length);
    const answer = reader.feed(buffer.subarray(0, length));
    buffer.fill(0);
    return answer;
  });
}

test.each(Object.entries(answers))(
  "an answer %s is whole with its last byte, however it comes in",
  (_, text) => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 6 }), fc.boolean(), (cuts, keepsBody) => {
        const reader = new AnswerReader(keepsBody);
        for (let turn = 0; turn < 2; turn++) {
          const read = feed(reader, text, cuts);
          expect(read.slice(0, -1).every((answer) => answer === undefined)).toBe(true);
          expect(read.at(-1)?.status).toBe(Number(text.slice(9, 12)));
          if (keepsBody) expect(read.at(-1)?.body).toBe(BODY);
        }
      }),
    );
  },
);
