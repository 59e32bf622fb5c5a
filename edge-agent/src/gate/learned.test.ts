import { setTimeout as sleep } from "node:timers/promises";
import { initialCalibration, type CalibrationState } from "@autoglm/core";
import { createLogger } from "@autoglm/telemetry";
import { expect, it } from "vitest";
import { Learned } from "./learned.ts";

const outcome = { score: 0.9, pHard: null, agrees: false, share: 1 };

/** A disk that refuses so many writes. */
function learnOn(refusals: number) {
  const written: CalibrationState[] = [];
  let tries = 0;
  const learned = new Learned({
    known: initialCalibration(),
    save: async (state) => {
      if (++tries <= refusals) throw new Error("no space left on device");
      written.push(state);
    },
    log: createLogger({ name: "learned-test", level: "silent" }),
  });
  return { learned, written, tries: () => tries };
}

it("writes at the end what could not be written when it was learned", async () => {
  const { learned, written, tries } = learnOn(1);
  learned.learn(outcome);
  // The write has failed before the end comes.
  await sleep(0);
  expect([tries(), written.length]).toEqual([1, 0]);
  await learned.saved();
  expect(written).toEqual([learned.calibration]);
});

it("writes once more when the end comes during the write that fails, for all who wait together", async () => {
  const { learned, written, tries } = learnOn(1);
  learned.learn(outcome);
  await Promise.all([learned.saved(), learned.saved()]);
  expect(written).toEqual([learned.calibration]);
  expect(tries()).toBe(2);
});

it("goes on when the disk refuses again, and writes the newest when it takes it", async () => {
  const { learned, written, tries } = learnOn(2);
  learned.learn(outcome);
  await learned.saved();
  expect([tries(), written.length]).toEqual([2, 0]);
  learned.learn(outcome);
  await learned.saved();
  expect(written).toEqual([learned.calibration]);
  expect(learned.calibration.outcomes).toBe(2);
});

it("writes nothing at the end that is on the disk", async () => {
  const { learned, tries } = learnOn(0);
  await learned.saved();
  expect(tries()).toBe(0);
  learned.learn(outcome);
  await learned.saved();
  await learned.saved();
  expect(tries()).toBe(1);
});
