import { NODE_ID_PATTERN } from "@autoglm/api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nodeIdOf } from "./node-id.ts";

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/);
const nodeName = fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => labels.join("."));

describe("nodeIdOf", () => {
  it("keeps a name that is a subject token", () => {
    expect(nodeIdOf("edge-4")).toBe("edge-4");
  });

  it("keeps apart names that read alike, and a name that was made to look like another's id", () => {
    const dotted = nodeIdOf("edge.4");
    expect(dotted).toMatch(/^edge-4--[0-9a-f]{16}$/);
    expect(nodeIdOf(dotted)).not.toBe(dotted);
  });

  it("never changes from one version to the next", () => {
    expect(nodeIdOf("node-1.factory.example.com")).toBe("node-1-factory-example-com--69c7805c79874e00");
  });

  it("gives every node name an id that fits the bus, and different names different ids", () => {
    fc.assert(
      fc.property(fc.uniqueArray(nodeName, { minLength: 2, maxLength: 20 }), (names) => {
        const ids = names.map(nodeIdOf);
        for (const id of ids) expect(id).toMatch(new RegExp(NODE_ID_PATTERN));
        expect(new Set(ids).size).toBe(names.length);
      }),
    );
  });
});
