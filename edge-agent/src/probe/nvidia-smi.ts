/**
 * What `nvidia-smi` says, from text to numbers. Pure.
 *
 * Cards whose total is not a number are left out: parts with unified memory (Jetson, GB10) print [N/A], and reading
 * that as 0 would make them the smallest tier. A card in MIG mode is left out too, because the total of the card is
 * not that of an instance; the instances are read from the XML.
 */

export interface GpuView {
  readonly uuid: string;
  readonly name: string;
  readonly totalBytes: number;
  readonly usedBytes: number;
}

export interface GpuProcess {
  readonly gpuUuid: string;
  readonly pid: number;
  readonly usedBytes: number;
}

/** Query for {@link parseGpus}, with `--format=csv,noheader,nounits`. */
export const GPU_QUERY = "--query-gpu=uuid,name,memory.total,memory.used,mig.mode.current";
/** Query for {@link parseGpuProcesses}. */
export const PROCESS_QUERY = "--query-compute-apps=gpu_uuid,pid,used_gpu_memory";

const MIB = 1024 * 1024;

export interface GpuReading {
  readonly gpus: readonly GpuView[];
  /** Some card is in MIG mode: ask for the XML. */
  readonly hasMig: boolean;
}

export function parseGpus(csv: string): GpuReading {
  const gpus: GpuView[] = [];
  let hasMig = false;
  for (const [uuid = "", name = "", total, used, mig] of rowsOf(csv)) {
    if (mig === "Enabled") {
      hasMig = true;
      continue;
    }
    const totalMib = mebibytes(total);
    if (totalMib === undefined || totalMib === 0) continue;
    gpus.push({ uuid, name, totalBytes: totalMib * MIB, usedBytes: (mebibytes(used) ?? 0) * MIB });
  }
  return { gpus, hasMig };
}

/** Without processes whose memory is not known: under MIG and in some containers it is [N/A]. */
export function parseGpuProcesses(csv: string): GpuProcess[] {
  const processes: GpuProcess[] = [];
  for (const [gpuUuid = "", pid, used] of rowsOf(csv)) {
    const usedMib = mebibytes(used);
    if (usedMib === undefined || !/^\d+$/.test(pid ?? "")) continue;
    processes.push({ gpuUuid, pid: Number(pid), usedBytes: usedMib * MIB });
  }
  return processes;
}

/** MIG instances that this process sees, from `nvidia-smi -q -x`. */
export function parseMigInstances(xml: string): GpuView[] {
  const instances: GpuView[] = [];
  for (const [, gpu = ""] of xml.matchAll(/<gpu\b[^>]*>([\s\S]*?)<\/gpu>/g)) {
    const name = tag(gpu, "product_name") ?? "";
    const uuid = tag(gpu, "uuid") ?? "";
    for (const [, instance = ""] of gpu.matchAll(/<mig_device>([\s\S]*?)<\/mig_device>/g)) {
      const memory = tag(instance, "fb_memory_usage") ?? "";
      const totalMib = mebibytes(tag(memory, "total"));
      if (totalMib === undefined || totalMib === 0) continue;
      const usedMib = mebibytes(tag(memory, "used")) ?? 0;
      const index = tag(instance, "index") ?? "0";
      instances.push({
        uuid: `${uuid}/${index}`,
        name: `${name} MIG`,
        totalBytes: totalMib * MIB,
        usedBytes: usedMib * MIB,
      });
    }
  }
  return instances;
}

function rowsOf(csv: string): string[][] {
  return csv
    .split("\n")
    .filter((line) => line.includes(","))
    .map((line) => line.split(",").map((cell) => cell.trim()));
}

/** "7982" and "7982 MiB"; undefined for "[N/A]", "[Not Supported]", "[Insufficient Permissions]", …. */
function mebibytes(text: string | undefined): number | undefined {
  const match = /^(\d+)(?:\.\d+)?(?: MiB)?$/.exec(text ?? "");
  return match ? Number(match[1]) : undefined;
}

const tag = (xml: string, name: string) =>
  new RegExp(`<${name}>([\\s\\S]*?)</${name}>`).exec(xml)?.[1]?.trim();
