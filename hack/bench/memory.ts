/** Memory per process of the running installation, from /proc. */
import { listProcesses } from "../cluster/processes.ts";
import type { Figure, Section } from "./figures.ts";
import { childrenOf, type Memory, memoryOf } from "./proc.ts";

const MEGABYTE = 1_000_000;
const OPERATOR_GOAL = { kind: "under", limit: 150 } as const;
const AGENT_GOAL = { kind: "under", limit: 200 } as const;

interface NamedMemory extends Memory {
  readonly name: string;
}

export interface ProcessMemory extends NamedMemory {
  /** Inference processes. */
  readonly children: readonly NamedMemory[];
}

/** @param stateDir of `make up` */
export function readMemory(stateDir: string): readonly ProcessMemory[] {
  return listProcesses(stateDir).map(({ name, pid }) => ({
    name,
    ...memoryOf(pid),
    children: childrenOf(pid).map((child, index) => ({
      name: `${name} child ${index + 1}`,
      ...memoryOf(child),
    })),
  }));
}

export function memorySection(idle: readonly ProcessMemory[], after: readonly ProcessMemory[]): Section {
  const flat = (all: readonly ProcessMemory[]) => all.flatMap((one) => [one, ...one.children]);
  const megabytes = (bytes: number | undefined) =>
    bytes === undefined ? "–" : (bytes / MEGABYTE).toFixed(0);
  const before = new Map(flat(idle).map((one) => [one.name, one]));
  const rows = flat(after).map((one) => [
    one.name,
    megabytes(before.get(one.name)?.pssBytes),
    megabytes(before.get(one.name)?.rssBytes),
    megabytes(one.pssBytes),
    megabytes(one.rssBytes),
  ]);
  const operator = (all: readonly ProcessMemory[]) =>
    all.find(({ name }) => name === "operator")?.pssBytes ?? Number.NaN;
  const agents = idle.filter(({ name }) => name.startsWith("agent-"));
  const agent = Math.max(
    ...agents.map(({ pssBytes, children }) =>
      children.reduce((sum, child) => sum + child.pssBytes, pssBytes),
    ),
  );
  const agentAlone = Math.max(
    ...agents.map(({ rssBytes, children }) =>
      children.reduce((sum, child) => sum + child.rssBytes, rssBytes),
    ),
  );
  const figures: Figure[] = [
    { id: "memory/operator-idle", unit: "MB", value: operator(idle) / MEGABYTE, goal: OPERATOR_GOAL },
    {
      id: "memory/operator-after-examples",
      unit: "MB",
      value: operator(after) / MEGABYTE,
      goal: OPERATOR_GOAL,
    },
    { id: "memory/agent-with-idle-child", unit: "MB", value: agent / MEGABYTE, goal: AGENT_GOAL },
    { id: "memory/agent-with-idle-child-rss", unit: "MB", value: agentAlone / MEGABYTE },
  ];
  return {
    title: "Memory per process, MB (10⁶ bytes)",
    notes: [
      "PSS from /proc/<pid>/smaps_rollup: seven Node processes share the pages of one binary here, so a machine with a",
      "single agent shows more; RSS counts those pages whole in each, the most it can be. Idle: before any task.",
      "The agent's goal is judged on the largest of the four, its spare inference process included.",
    ],
    header: ["process", "idle PSS", "idle RSS", "PSS after examples", "RSS after examples"],
    rows,
    figures,
  };
}
