import { startEngine, infer, inferenceProcesses } from "./harness.ts";
import { sampleModel } from "./models.ts";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { execFileSync } from "node:child_process";
const pss = (pid: number) =>
  [...readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").matchAll(/^(Pss|Rss):\s+(\d+)/gm)]
    .map((m) => `${m[1]} ${(Number(m[2]) / 1024) | 0}`)
    .join(" ");
const engine = startEngine();
await sleep(1500);
console.log("self", pss(process.pid), "spare", inferenceProcesses().map(pss));
for (const [name, type, variant] of [
  ["zh-sentiment", "text-classification"],
  ["zh-ner", "token-classification"],
  ["smollm2-135m-instruct", "text-generation", "int4"],
] as const) {
  const model = await sampleModel("/tmp/inf-models", name, variant);
  await sleep(800);
  const raw = execFileSync(
    process.execPath,
    [
      "-e",
      `const ort=require("onnxruntime-node");(async()=>{const t=performance.now();await ort.InferenceSession.create("${model.directory}/model.onnx",{intraOpNumThreads:1});console.log(performance.now()-t)})()`,
    ],
    { cwd: "/work/main/edge-agent" },
  )
    .toString()
    .trim();
  const { loadMs } = await engine.load(model, AbortSignal.timeout(60000));
  console.log(name, "load", loadMs.toFixed(0), "raw create", Number(raw).toFixed(0));
  const texts =
    name === "smollm2-135m-instruct"
      ? Array(4).fill("What does a GPU do?")
      : Array.from({ length: name === "zh-ner" ? 2000 : 10000 }, (_, i) =>
          "物流很快，包装完好，非常满意，王小明昨天从上海浦东机场飞往纽约，参加联合国总部的会议。".slice(
            0,
            8 + ((i * 7) % 36),
          ),
        );
  for (let r = 0; r < 2; r++) {
    const t = performance.now();
    let n = 0;
    for await (const _ of infer(engine, { model, type, texts, parameters: { maxNewTokens: 32 } })) n++;
    const ms = performance.now() - t;
    console.log("  engine", ((n / ms) * 1000).toFixed(0), "items/s", "children", inferenceProcesses().length);
  }
  console.log(
    "  reports",
    JSON.stringify(engine.reports()),
    inferenceProcesses().map((p) => p + " " + pss(p)),
    (engine.usedBytes() / 2 ** 20) | 0,
  );
}
await engine.close();
