import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { capacityBytes, MemoryLedger, steadyBytes } from "./memory-ledger.ts";
import { exactQuantity } from "./quantities.ts";
import { parseQuantityBytes } from "@autoglm/api";

const node = fc.constantFrom("a", "b");
const holder = fc.constantFrom("t1", "t2", "t3", "t4", "t5");
const operation = fc.oneof(
  fc.record({ kind: fc.constant("reserve" as const), holder, node, bytes: fc.nat(10) }),
  fc.record({ kind: fc.constant("release" as const), holder }),
  fc.record({ kind: fc.constant("capacity" as const), node, bytes: fc.nat(20) }),
);

describe("MemoryLedger", () => {
  it("never grants more than a node has, whatever is asked in whatever order", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const ledger = new MemoryLedger();
        const model = new Map<string, { node: string; bytes: number }>();
        const capacity = new Map<string, number>();
        const sum = (name: string) =>
          [...model.values()]
            .filter((one) => one.node === name)
            .reduce((total, { bytes }) => total + bytes, 0);
        for (const step of operations) {
          if (step.kind === "capacity") {
            ledger.setCapacity(step.node, step.bytes);
            capacity.set(step.node, step.bytes);
          } else if (step.kind === "release") {
            expect(ledger.release(step.holder)).toBe(model.delete(step.holder));
          } else {
            const own = model.get(step.holder);
            const fits =
              sum(step.node) - (own?.node === step.node ? own.bytes : 0) + step.bytes <=
              (capacity.get(step.node) ?? 0);
            expect(ledger.reserve(step.holder, step.node, step.bytes)).toBe(fits);
            if (fits) {
              model.set(step.holder, { node: step.node, bytes: step.bytes });
              expect(sum(step.node)).toBeLessThanOrEqual(capacity.get(step.node) ?? 0);
            }
          }
          for (const name of ["a", "b"]) {
            expect(ledger.reservedOn(name)).toBe(sum(name));
            expect(ledger.freeOn(name)).toBe(Math.max(0, (capacity.get(name) ?? 0) - sum(name)));
            const holders = [...model].filter(([, one]) => one.node === name).map(([key]) => key);
            expect([...ledger.holdersOn(name)].sort()).toEqual(holders.sort());
          }
        }
      }),
    );
  });

  it("takes nothing away when capacity shrinks, and gives nothing until enough is released", () => {
    const ledger = new MemoryLedger();
    ledger.setCapacity("a", 10);
    expect(ledger.reserve("t1", "a", 8)).toBe(true);
    ledger.setCapacity("a", 4);
    expect(ledger.reservationOf("t1")).toEqual({ node: "a", bytes: 8 });
    expect(ledger.freeOn("a")).toBe(0);
    expect(ledger.reserve("t2", "a", 1)).toBe(false);
    ledger.release("t1");
    expect(ledger.reserve("t2", "a", 4)).toBe(true);
  });

  it("keeps what a holder has when it can't have more", () => {
    const ledger = new MemoryLedger();
    ledger.setCapacity("a", 10);
    ledger.reserve("t1", "a", 6);
    expect(ledger.reserve("t1", "b", 1)).toBe(false);
    expect(ledger.reserve("t1", "a", 11)).toBe(false);
    expect(ledger.reservationOf("t1")).toEqual({ node: "a", bytes: 6 });
  });

  it("forgets the capacity of nodes that are gone", () => {
    const ledger = new MemoryLedger();
    ledger.setCapacity("a", 10);
    ledger.keepNodes(new Set(["b"]));
    expect(ledger.reserve("t1", "a", 1)).toBe(false);
  });
});

describe("capacityBytes", () => {
  it.each([
    [[8, 6], 0, 6],
    [[8, 0], 1, 7],
    [[4], 5, 0],
    [[0], 0, undefined],
    [[], 0, undefined],
  ])("of totals %j less %i is %s", (totals, used, expected) => {
    expect(capacityBytes(totals, used)).toBe(expected);
  });
});

describe("steadyBytes", () => {
  it("stays at a step while the measured amount trembles below it", () => {
    expect(steadyBytes(301, undefined, 100)).toBe(400);
    expect(steadyBytes(399, 400, 100)).toBe(400);
    expect(steadyBytes(251, 400, 100)).toBe(400);
    expect(steadyBytes(250, 400, 100)).toBe(300);
    expect(steadyBytes(401, 400, 100)).toBe(500);
    expect(steadyBytes(0, undefined, 100)).toBe(0);
  });

  it("never says less than was measured", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(10_000)), (amounts) => {
        let said: number | undefined;
        for (const amount of amounts) {
          said = steadyBytes(amount, said, 128);
          expect(said).toBeGreaterThanOrEqual(amount);
        }
      }),
    );
  });
});

describe("exactQuantity", () => {
  it("parses back to the same bytes", () => {
    expect(exactQuantity(3 * 2 ** 30)).toBe("3Gi");
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(1, 2 ** 10, 2 ** 20), (count, unit) => {
        expect(parseQuantityBytes(exactQuantity(count * unit))).toBe(count * unit);
      }),
    );
  });
});
