/**
 * The objects of one informer, by key and by index. Everybody reads the same objects: they are not to be changed.
 *
 * `replace` takes a full list and reports what it changed against what was held, so that a deletion that happened
 * while nobody watched is seen too.
 */
import { keyOf, type KubeObject } from "./resource.ts";

export type ObjectChange<T> =
  /** `resync`: unchanged, looked at again after a full list. */
  | { readonly type: "added" | "resync"; readonly key: string; readonly object: T }
  | { readonly type: "changed"; readonly key: string; readonly object: T; readonly previous: T }
  /** `object` is the last state that was seen. */
  | { readonly type: "deleted"; readonly key: string; readonly object: T };

/** The values under which an object is found; none leaves it out. */
export type IndexFunction<T> = (object: T) => readonly string[];

/** What readers see of a cache. */
export interface ObjectReader<T> {
  get(key: string): T | undefined;
  list(): readonly T[];
  /** Objects that the index function gave this value. Unknown index: none. */
  byIndex(index: string, value: string): readonly T[];
  readonly size: number;
}

export class ObjectCache<T extends KubeObject> implements ObjectReader<T> {
  readonly #objects = new Map<string, T>();
  readonly #indexes: readonly {
    readonly name: string;
    readonly valuesOf: IndexFunction<T>;
    readonly keys: Map<string, Set<string>>;
  }[];

  constructor(indexes: Readonly<Record<string, IndexFunction<T>>> = {}) {
    this.#indexes = Object.entries(indexes).map(([name, valuesOf]) => ({ name, valuesOf, keys: new Map() }));
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): readonly T[] {
    return [...this.#objects.values()];
  }

  byIndex(index: string, value: string): readonly T[] {
    const keys = this.#indexes.find((one) => one.name === index)?.keys.get(value) ?? [];
    return [...keys].flatMap((key) => this.#objects.get(key) ?? []);
  }

  set(object: T): ObjectChange<T> {
    const key = keyOf(object.metadata);
    const previous = this.#objects.get(key);
    if (previous !== undefined) this.#unindex(key, previous);
    this.#objects.set(key, object);
    for (const { valuesOf, keys } of this.#indexes) {
      for (const value of valuesOf(object)) {
        const under = keys.get(value);
        if (under === undefined) keys.set(value, new Set([key]));
        else under.add(key);
      }
    }
    if (previous === undefined) return { type: "added", key, object };
    const unchanged = previous.metadata.resourceVersion === object.metadata.resourceVersion;
    return unchanged ? { type: "resync", key, object } : { type: "changed", key, object, previous };
  }

  delete(key: string): ObjectChange<T> | undefined {
    const object = this.#objects.get(key);
    if (object === undefined) return undefined;
    this.#unindex(key, object);
    this.#objects.delete(key);
    return { type: "deleted", key, object };
  }

  replace(objects: readonly T[]): readonly ObjectChange<T>[] {
    const kept = new Set(objects.map((object) => keyOf(object.metadata)));
    const gone = [...this.#objects.keys()].filter((key) => !kept.has(key));
    return [...gone.flatMap((key) => this.delete(key) ?? []), ...objects.map((object) => this.set(object))];
  }

  #unindex(key: string, object: T): void {
    for (const { valuesOf, keys } of this.#indexes) {
      for (const value of valuesOf(object)) {
        const under = keys.get(value);
        under?.delete(key);
        if (under?.size === 0) keys.delete(value);
      }
    }
  }
}
