import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  chunkSubject,
  desiredSubject,
  fetchSpecSubject,
  heartbeatSubject,
  ledgerSubject,
  parseChunkSubject,
  specSubject,
} from "./subjects.ts";

const count = fc.integer({ min: 0, max: 999_999_999 });
const address = fc.record({
  node: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,79}$/),
  task: fc.uuid(),
  run: count,
  epoch: count,
  shard: fc.integer({ min: 0, max: 9999 }),
  chunk: count,
});

describe("chunk subjects", () => {
  it("parse back to the address that they were made from", () => {
    fc.assert(
      fc.property(address, (original) => {
        expect(parseChunkSubject(chunkSubject(original))).toEqual(original);
      }),
    );
  });

  it("have seven tokens, so that one node's wildcard covers exactly its own", () => {
    fc.assert(
      fc.property(address, (original) => {
        expect(chunkSubject(original).split(".")).toHaveLength(7);
      }),
    );
  });

  it.each([
    "res.edge-1.t.0.1.0",
    "res.edge-1.t.0.1.0.0.0",
    "res.edge-1.t.0.1.0.00",
    "res.edge-1.t.0.01.0.0",
    "res.-edge.t.0.1.0.0",
    `res.${"a".repeat(81)}.t.0.1.0.0`,
    "res.Edge.t.0.1.0.0",
    "res.edge-1.t.0.1.0.-1",
    "res.edge-1.t.0.1.0.1e3",
    "res.*.t.0.1.0.0",
    "spec.edge-1.t.0.1.0.0",
    "",
  ])("%j is none", (subject) => {
    expect(parseChunkSubject(subject)).toBeUndefined();
  });
});

describe("subjects of a node", () => {
  it.each(["", "a.b", "*", ">", "a b", "Ä", "-a", "UPPER"])("refuse the node id %j", (node) => {
    for (const subject of [desiredSubject, heartbeatSubject]) {
      expect(() => subject(node)).toThrow(expect.objectContaining({ code: "InvalidMessage" }));
    }
  });

  it("refuse a digest or uid that would reach another subject", () => {
    for (const make of [
      () => specSubject("edge-1", "a.b"),
      () => fetchSpecSubject("edge-1", ">"),
      () => ledgerSubject("*"),
    ]) {
      expect(make).toThrow(expect.objectContaining({ code: "InvalidMessage" }));
    }
  });
});
