import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readEvents, type ServerSentEvent } from "./sse.ts";

async function eventsOf(bytes: Uint8Array, cuts: readonly number[]): Promise<readonly ServerSentEvent[]> {
  async function* chunks() {
    const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort(
      (a, b) => a - b,
    );
    for (const [index, place] of places.entries()) yield bytes.subarray(place, places[index + 1]);
  }
  const events: ServerSentEvent[] = [];
  for await (const event of readEvents(chunks())) events.push(event);
  return events;
}

describe("a stream of events", () => {
  it("is the same wherever the network cuts it, and with any line ends", async () => {
    const data = fc.string({ unit: fc.constantFrom("a", "好", "😀", " ", ":", "{", '"') });
    await fc.assert(
      fc.asyncProperty(
        fc.array(data, { maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        fc.constantFrom("\n", "\r\n", "\r"),
        async (values, cuts, end) => {
          const text = values.map((value) => `: ping${end}data: ${value}${end}${end}`).join("");
          const events = await eventsOf(new TextEncoder().encode(`${text}: end${end}`), cuts);
          expect(events).toEqual(values.map((value) => ({ event: "message", data: value })));
        },
      ),
    );
  });

  it("has names, several lines, and no half events", async () => {
    const text = "event: error\ndata: one\ndata: two\n\ndata\n\ndata: cut off";
    expect(await eventsOf(new TextEncoder().encode(text), [])).toEqual([
      { event: "error", data: "one\ntwo" },
      { event: "message", data: "" },
    ]);
  });
});
