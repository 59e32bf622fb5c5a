import fc from "fast-check";
import { expect, it } from "vitest";
import { BudgetLedger, type BudgetReservation } from "./budget.ts";

it("gives back what a deep model did not use, and all of what was never asked", () => {
  const ledger = new BudgetLedger({ maxEscalations: 2, maxTokens: 100, maxShare: null });
  const [first, second] = [ledger.reserve(60), ledger.reserve(30)];
  expect(ledger.reserve(10)).toBeUndefined();
  ledger.settle(first!, 20);
  expect(ledger.left).toEqual({ escalations: 0, tokens: 50 });
  ledger.release(second!);
  expect(ledger.left).toEqual({ escalations: 1, tokens: 80 });
  ledger.settle(second!);
  expect(ledger.left).toEqual({ escalations: 1, tokens: 80 });
});

it("reserves nothing until a bill above the most has caught up", () => {
  const ledger = new BudgetLedger({ maxEscalations: null, maxTokens: 100, maxShare: null });
  ledger.settle(ledger.reserve(10)!, 200);
  expect(ledger.left).toEqual({ escalations: null, tokens: 0 });
  expect(ledger.reserve(1)).toBeUndefined();
});

it("never spends more than its limits, in whatever order items are reserved, settled and released", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("see" as const) }),
    fc.record({ kind: fc.constant("reserve" as const), tokens: fc.nat(50) }),
    fc.record({
      kind: fc.constantFrom("settle" as const, "release" as const),
      at: fc.nat(20),
      used: fc.nat(50),
    }),
  );
  const limit = fc.option(fc.nat(200), { nil: null });
  const share = fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: null });
  fc.assert(
    fc.property(
      limit,
      limit,
      share,
      fc.array(step, { maxLength: 100 }),
      (maxEscalations, maxTokens, maxShare, steps) => {
        const ledger = new BudgetLedger({ maxEscalations, maxTokens, maxShare });
        let seen = 0;
        const open: BudgetReservation[] = [];
        for (const step of steps) {
          if (step.kind === "see") {
            ledger.see();
            seen++;
          } else if (step.kind === "reserve") {
            const reservation = ledger.reserve(step.tokens);
            if (reservation) open.push(reservation);
          } else {
            const [reservation] = open.splice(step.at % Math.max(1, open.length), 1);
            if (reservation && step.kind === "settle") {
              ledger.settle(reservation, Math.min(step.used, reservation.tokens));
            } else if (reservation) ledger.release(reservation);
          }
          expect(ledger.committed.escalations).toBeLessThanOrEqual(maxEscalations ?? Infinity);
          if (maxShare !== null) expect(ledger.committed.escalations).toBeLessThanOrEqual(maxShare * seen);
          expect(ledger.committed.tokens).toBeLessThanOrEqual(maxTokens ?? Infinity);
        }
      },
    ),
  );
});
