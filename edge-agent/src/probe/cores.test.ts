import { expect, test } from "vitest";
import { countCores, type CoreFacts } from "./cores.ts";

const facts = (more: Partial<CoreFacts> = {}): CoreFacts => ({
  affinity: 8,
  cpuMax: undefined,
  quotaUs: undefined,
  periodUs: undefined,
  ...more,
});

test.each<[what: string, facts: CoreFacts, cores: number]>([
  ["all that it may run on, without a cgroup", facts(), 8],
  ["all of them without a quota", facts({ cpuMax: "max 100000\n" }), 8],
  ["the quota of cgroup v2", facts({ cpuMax: "200000 100000\n" }), 2],
  ["whole cores of the quota", facts({ cpuMax: "390000 100000" }), 3],
  ["one where the quota is less than that", facts({ cpuMax: "50000 100000" }), 1],
  ["no more than there are", facts({ affinity: 2, cpuMax: "1600000 100000" }), 2],
  ["the quota of cgroup v1", facts({ quotaUs: "300000\n", periodUs: "100000\n" }), 3],
  ["all of them without a quota in cgroup v1", facts({ quotaUs: "-1\n", periodUs: "100000\n" }), 8],
])("%s", (_, given, cores) => {
  expect(countCores(given)).toBe(cores);
});
