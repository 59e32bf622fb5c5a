import type { AssignmentReport, Ledger } from "@autoglm/api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isNewerLedger, taskLedgerOf } from "./ledger-rules.ts";

const ledger = (change: Partial<Ledger> = {}): Ledger => ({
  v: 1,
  task: "t",
  run: 0,
  revision: 1,
  accepted: 0,
  failed: 0,
  complete: false,
  duplicatesDropped: 0,
  acceptedItems: [],
  assignments: [],
  sample: [],
  storeFull: false,
  ...change,
});
const report = (produced: number): AssignmentReport => ({
  task: "t",
  run: 0,
  shard: 0,
  epoch: 1,
  phase: "Running",
  produced,
  oldestPendingAt: "2026-01-01T00:00:00Z",
});

describe("isNewerLedger", () => {
  it.each([
    [{}, undefined, true],
    [{ revision: 2 }, { revision: 1 }, true],
    [{ revision: 1 }, { revision: 1 }, false],
    [{ run: 1, revision: 1 }, { run: 0, revision: 9 }, true],
    [{ run: 0, revision: 9 }, { run: 1, revision: 1 }, false],
  ])("%j after %j: %s", (next, previous, expected) => {
    expect(isNewerLedger(ledger(next), previous && ledger(previous))).toBe(expected);
  });
});

describe("taskLedgerOf", () => {
  it("counts what is produced and not yet delivered", () => {
    expect(taskLedgerOf({ run: 0, ledger: ledger({ accepted: 3 }), report: report(5) })).toEqual({
      produced: 5,
      delivered: 3,
      pending: 2,
      oldestPendingSince: "2026-01-01T00:00:00Z",
      duplicatesDropped: 0,
      lost: 0,
    });
  });

  it("adds what was accepted before the present assignment began", () => {
    const facts = { run: 0, ledger: ledger({ accepted: 100 }), report: report(5), acceptedBefore: 100 };
    expect(taskLedgerOf(facts)).toMatchObject({ produced: 105, delivered: 100, pending: 5 });
  });

  it("has nothing pending when the run is complete", () => {
    expect(
      taskLedgerOf({ run: 0, ledger: ledger({ accepted: 3, complete: true }), report: report(5) }).pending,
    ).toBe(0);
  });

  it("never counts less than before within a run, whatever is missing, but for what is lost", () => {
    const counts = fc.record({
      produced: fc.nat(100),
      accepted: fc.nat(100),
      hasLedger: fc.boolean(),
      hasReport: fc.boolean(),
      lost: fc.nat(5),
    });
    fc.assert(
      fc.property(fc.array(counts, { maxLength: 20 }), (steps) => {
        let previous = taskLedgerOf({ run: 0 });
        for (const { produced, accepted, hasLedger, hasReport, lost } of steps) {
          const next = taskLedgerOf({
            run: 0,
            ledger: hasLedger ? ledger({ accepted }) : undefined,
            report: hasReport ? report(produced) : undefined,
            previous,
            newlyLost: lost,
          });
          expect(next.delivered).toBeGreaterThanOrEqual(previous.delivered);
          expect(next.produced).toBeGreaterThanOrEqual(previous.produced - lost);
          expect(next.pending).toBe(next.produced - next.delivered);
          expect(next.lost).toBe(previous.lost + lost);
          previous = next;
        }
      }),
    );
  });
});
