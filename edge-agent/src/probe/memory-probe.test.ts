import { expect, test } from "vitest";
import { judgeMemory, MemoryProbe, type MemoryFacts } from "./memory-probe.ts";
import { parseGpuProcesses, parseGpus, parseMigInstances } from "./nvidia-smi.ts";
import { parseHostMemory } from "./proc.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

test.each([
  ["a desktop card", "GPU-1, NVIDIA GeForce RTX 3070, 8192, 611, [N/A]", [{ total: 8192, used: 611 }], false],
  ["a data-centre card", "GPU-2, Tesla P4, 7606, 0, [N/A]", [{ total: 7606, used: 0 }], false],
  ["a card with units", "GPU-3, NVIDIA T4, 15360 MiB, 4 MiB, Disabled", [{ total: 15_360, used: 4 }], false],
  ["unified memory", "GPU-4, Orin (nvgpu), [N/A], [N/A], [N/A]", [], false],
  ["unified memory that says 0", "GPU-5, NVIDIA GB10, 0, 0, [N/A]", [], false],
  ["words for N/A of other versions", "GPU-6, Xavier, [Not Supported], Not Supported, N/A", [], false],
  ["a card in MIG mode", "GPU-7, NVIDIA A100-SXM4-40GB, 40960, 87, Enabled", [], true],
  [
    "use that may not be seen",
    "GPU-8, NVIDIA A2, 15356, [Insufficient Permissions], [N/A]",
    [{ total: 15_356, used: 0 }],
    false,
  ],
  [
    "two cards",
    "GPU-9, A, 4096, 1, [N/A]\nGPU-10, B, 6144, 2, [N/A]\n",
    [
      { total: 4096, used: 1 },
      { total: 6144, used: 2 },
    ],
    false,
  ],
  ["no card", "No devices were found\n", [], false],
  ["nothing", "", [], false],
])("reads %s", (_, csv, expected, hasMig) => {
  const reading = parseGpus(csv);
  expect(
    reading.gpus.map(({ totalBytes, usedBytes }) => ({ total: totalBytes / MIB, used: usedBytes / MIB })),
  ).toEqual(expected);
  expect(reading.hasMig).toBe(hasMig);
});

test("reads processes and leaves out those whose memory is not known", () => {
  const csv = "GPU-1, 4242, 1024\nGPU-1, 77, [N/A]\nGPU-1, [N/A], 5\n[Not Supported]\n";
  expect(parseGpuProcesses(csv)).toEqual([{ gpuUuid: "GPU-1", pid: 4242, usedBytes: 1024 * MIB }]);
});

test("reads the memory of MIG instances, not that of their card", () => {
  const xml = `<nvidia_smi_log><gpu id="00000000:01:00.0">
    <product_name>NVIDIA A100-SXM4-40GB</product_name><uuid>GPU-7</uuid>
    <mig_devices><mig_device><index>0</index>
      <fb_memory_usage><total>4864 MiB</total><reserved>0 MiB</reserved><used>12 MiB</used><free>4852 MiB</free></fb_memory_usage>
      <bar1_memory_usage><total>8191 MiB</total><used>0 MiB</used></bar1_memory_usage>
    </mig_device></mig_devices>
    <fb_memory_usage><total>40960 MiB</total><used>87 MiB</used></fb_memory_usage></gpu></nvidia_smi_log>`;
  expect(parseMigInstances(xml)).toEqual([
    { uuid: "GPU-7/0", name: "NVIDIA A100-SXM4-40GB MIG", totalBytes: 4864 * MIB, usedBytes: 12 * MIB },
  ]);
  expect(parseMigInstances("")).toEqual([]);
});

const nothing: MemoryFacts = {
  gpus: [],
  gpuProcesses: [],
  ownProcessIds: new Set(),
  declaredBudgetBytes: undefined,
  host: undefined,
  engineBytes: 0,
};
const card = (totalMib: number, usedMib = 0, uuid = "GPU-1") => ({
  uuid,
  name: "card",
  totalBytes: totalMib * MIB,
  usedBytes: usedMib * MIB,
});

test.each([
  ["nothing is known", {}, undefined],
  ["a card just under nominal", { gpus: [card(3900)] }, "4Gi"],
  ["a card under the slack of 4 GB", { gpus: [card(3700)] }, undefined],
  ["a 6 GB card", { gpus: [card(5900)] }, "6Gi"],
  ["a large card", { gpus: [card(81_559)] }, "8Gi"],
  ["two small cards, which are no large one", { gpus: [card(4096), card(4096, 0, "GPU-2")] }, "4Gi"],
  ["a declared budget", { declaredBudgetBytes: 6 * GIB }, "6Gi"],
  ["a card and a declared budget", { gpus: [card(4096)], declaredBudgetBytes: 8 * GIB }, "4Gi"],
  ["half of the machine", { host: { totalBytes: 16 * GIB, availableBytes: 12 * GIB } }, "8Gi"],
])("says the tier when %s", (_, facts: Partial<MemoryFacts>, tier) => {
  expect(judgeMemory({ ...nothing, ...facts }).probedTier).toBe(tier);
});

test("tells its own use of a card from that of others, by process where it can", () => {
  const facts: MemoryFacts = { ...nothing, gpus: [card(8000, 3000)], engineBytes: 500 * MIB };
  const byEngine = judgeMemory(facts).memory;
  expect([byEngine.usedByUsBytes / MIB, byEngine.usedByOthersBytes / MIB]).toEqual([500, 2500]);
  const byProcess = judgeMemory({
    ...facts,
    ownProcessIds: new Set([1, 2]),
    gpuProcesses: [
      { gpuUuid: "GPU-1", pid: 2, usedBytes: 900 * MIB },
      { gpuUuid: "GPU-1", pid: 9, usedBytes: 2000 * MIB },
    ],
  }).memory;
  expect([byProcess.usedByUsBytes / MIB, byProcess.usedByOthersBytes / MIB]).toEqual([900, 2100]);
});

test("counts what others take from our half of a busy machine", () => {
  const host = { totalBytes: 16 * GIB, availableBytes: 3 * GIB };
  const { memory } = judgeMemory({ ...nothing, host, engineBytes: GIB });
  expect(memory).toEqual({
    kind: "ram",
    totalBytes: 8 * GIB,
    usedByOthersBytes: 4 * GIB,
    usedByUsBytes: GIB,
  });
});

test.each([
  ["no limit", "max\n", "100\n", { totalBytes: 8000 * 1024, availableBytes: 5000 * 1024 }],
  [
    "cgroup v1's word for no limit",
    "9223372036854771712",
    "1",
    { totalBytes: 8000 * 1024, availableBytes: 5000 * 1024 },
  ],
  ["a limit", "2048000", "48000", { totalBytes: 2_048_000, availableBytes: 2_000_000 }],
  ["a limit that is used up", "2048000", "3000000", { totalBytes: 2_048_000, availableBytes: 0 }],
])("reads the machine's memory with %s", (_, cgroupLimit, cgroupUsed, expected) => {
  const meminfo = "MemTotal:        8000 kB\nMemFree:          100 kB\nMemAvailable:    5000 kB\n";
  expect(parseHostMemory({ meminfo, cgroupLimit, cgroupUsed })).toEqual(expected);
  expect(parseHostMemory({ meminfo: undefined, cgroupLimit, cgroupUsed })).toBeUndefined();
});

test("reads this machine, whatever it has", async () => {
  const probe = new MemoryProbe({ declaredBudgetBytes: undefined, engineBytes: () => 0 });
  const { memory } = await probe.read();
  expect(memory.totalBytes).toBeGreaterThan(0);
});
