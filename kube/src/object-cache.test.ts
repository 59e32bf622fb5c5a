import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ObjectCache } from "./object-cache.ts";
import { type KubeObject, keyOf, parseKey } from "./resource.ts";

function object(name: string, resourceVersion: string): KubeObject {
  return { apiVersion: "v1", kind: "Thing", metadata: { name, namespace: "n", resourceVersion } };
}

const objects = fc.uniqueArray(
  fc.record({ name: fc.constantFrom("a", "b", "c", "d"), version: fc.constantFrom("1", "2", "3") }),
  { selector: (one) => one.name },
);
const build = (list: readonly { name: string; version: string }[]) =>
  list.map(({ name, version }) => object(name, version));
const indexes = { version: (one: KubeObject) => [one.metadata.resourceVersion ?? ""] };

describe("an object cache", () => {
  it("reports exactly what a full list changed, and its indexes follow", () => {
    fc.assert(
      fc.property(objects, objects, (first, second) => {
        const cache = new ObjectCache<KubeObject>(indexes);
        cache.replace(build(first));
        const changes = cache.replace(build(second));
        const before = new Map(first.map((one) => [one.name, one.version]));
        const after = new Map(second.map((one) => [one.name, one.version]));
        const expected = [
          ...first.filter((one) => !after.has(one.name)).map((one) => `deleted n/${one.name}`),
          ...second.map(({ name, version }) => {
            const was = before.get(name);
            return `${was === undefined ? "added" : was === version ? "resync" : "changed"} n/${name}`;
          }),
        ];
        expect(changes.map((change) => `${change.type} ${change.key}`)).toEqual(expected);
        for (const version of ["1", "2", "3"]) {
          const names = second.filter((one) => one.version === version).map((one) => one.name);
          expect(
            cache
              .byIndex("version", version)
              .map((one) => one.metadata.name)
              .toSorted(),
          ).toEqual(names.toSorted());
        }
        expect(cache.size).toBe(second.length);
      }),
    );
  });

  it("says nothing of a deletion it did not know of", () => {
    expect(new ObjectCache().delete("n/a")).toBeUndefined();
  });
});

describe("keys", () => {
  it("come back as the reference they were made from", () => {
    for (const reference of [{ name: "node-1" }, { namespace: "demo", name: "task" }]) {
      expect(parseKey(keyOf(reference))).toEqual(reference);
    }
  });
});
