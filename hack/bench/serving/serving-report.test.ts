import { expect, test } from "vitest";
import type { Cell, Outcome } from "./measure.ts";
import { bestPeer, type Measured, servingSections } from "./serving-report.ts";

const cell = (perSecond: number, p99Ms = 10): Cell => ({
  perSecond,
  latenciesMs: Float64Array.of(p99Ms / 2, p99Ms / 2, p99Ms),
  cpuMsPerRequest: 1000 / perSecond,
  answered: perSecond,
  failures: {},
});
const outcome = (...rates: readonly number[]): Outcome => ({
  cells: {
    1: rates.map((rate) => cell(rate)),
    16: rates.map((rate) => cell(rate)),
    64: rates.map((rate) => cell(rate)),
  },
});
const server = (id: string) => ({ id, title: `the ${id}`, layout: "1×2", isOurs: id === "ours" });

const measured: Measured = {
  workload: { id: "mixed", title: "mixed" },
  servers: ["ours", "slow", "fast", "broken"].map(server),
  outcomes: new Map([
    ["ours", outcome(300, 30)],
    ["slow", outcome(90, 9)],
    ["fast", outcome(200, 20)],
    ["broken", { failure: "HTTP 500 × 32 of 32 requests" }],
  ]),
  raw: [
    {
      title: "2×1",
      rates: [
        { perSecond: 600, cpuMsPerRow: 2 },
        { perSecond: 60, cpuMsPerRow: 2 },
      ],
    },
    {
      title: "1×2",
      rates: [
        { perSecond: 500, cpuMsPerRow: 2 },
        { perSecond: 50, cpuMsPerRow: 2 },
      ],
    },
  ],
  loads: [1, 9],
};
const run = {
  measured: [measured],
  memory: new Map([["ours", 1e8]]),
  absent: [],
  ceiling: { perSecond: 80_000, loadCpuMs: 0.005 },
  cores: 2,
  rounds: 2,
  cellSeconds: 1,
};

test("the best peer is the fastest of those that answer; ours is none", () => {
  expect(bestPeer(measured, 64)?.id).toBe("fast");
});

test("a round in which the machine was ten times slower changes no ratio", () => {
  const figures = servingSections(run).flatMap(({ figures: all }) => all);
  const valueOf = (id: string) => figures.find((figure) => figure.id === `serving/mixed/${id}`);
  expect(valueOf("c64/rps-to-best-peer")).toMatchObject({
    value: 1.5,
    goal: { kind: "atLeast", limit: 1.4 },
  });
  expect(valueOf("c64/p99-to-best-peer")).toMatchObject({ value: 1, goal: { kind: "atMost", limit: 0.3 } });
  expect(valueOf("c64/rps-to-raw")?.value).toBe(0.5);
  expect(valueOf("c16/rps-to-best-peer")).not.toHaveProperty("goal");
});

test("the p99 is that of all requests: what happens in one round of three counts", () => {
  const cells = (...p99s: readonly number[]): Outcome => {
    const all = p99s.map((p99Ms) => cell(100, p99Ms));
    return { cells: { 1: all, 16: all, 64: all } };
  };
  const outcomes = new Map([
    ["ours", cells(40, 40, 40)],
    ["fast", cells(50, 400, 50)],
  ]);
  const sections = servingSections({ ...run, measured: [{ ...measured, outcomes }] });
  const figures = sections.flatMap(({ figures: all }) => all);
  expect(figures.find(({ id }) => id === "serving/mixed/c64/p99-to-best-peer")?.value).toBe(0.1);
  expect(sections[0]?.rows.at(-1)?.[5]).toBe("0.10 (0.10–0.80)");
});

test("an agent with a hint is no peer; it is compared at one client, without the goals", () => {
  const hinted = { ...server("hinted"), isOurs: true };
  const outcomes = new Map(measured.outcomes).set("hinted", outcome(900, 90));
  const both = { ...measured, servers: [...measured.servers, hinted], outcomes };
  expect(bestPeer(both, 64)?.id).toBe("fast");
  const figures = servingSections({ ...run, measured: [both] }).flatMap(({ figures: all }) => all);
  const rates = figures.filter(({ id }) => id.endsWith("rps-to-best-peer"));
  expect(rates.map(({ id, value }) => [id, value])).toEqual([
    ["serving/mixed/c1/rps-to-best-peer", 1.5],
    ["serving/mixed/c1/hinted/rps-to-best-peer", 4.5],
    ["serving/mixed/c16/rps-to-best-peer", 1.5],
    ["serving/mixed/c64/rps-to-best-peer", 1.5],
  ]);
});

test("a peer that fails is said to fail, with what it answered", () => {
  const [summary, , table] = servingSections(run);
  expect(summary?.notes).toContain("fails at mixed: the broken: HTTP 500 × 32 of 32 requests");
  expect(table?.rows.find(([title]) => title === "the broken")?.slice(2, 5)).toEqual([
    "fails",
    "fails",
    "fails",
  ]);
});

test("requests that arrive at random are compared by the percentiles of all rounds", () => {
  const arrivals = {
    perSecond: 270,
    peer: server("fast"),
    ours: [cell(270, 30), cell(270, 20)],
    theirs: [cell(270, 100), cell(270, 120)],
  };
  const figures = servingSections({ ...run, measured: [{ ...measured, arrivals }] }).flatMap(
    (section) => section.figures,
  );
  expect(figures.find(({ id }) => id === "serving/mixed/arrivals/p99-to-best-peer")?.value).toBe(0.25);
});
