import { createRequire } from "node:module";
import path from "node:path";
import type { ExecutionProvider } from "./onnx-session.ts";

const { resolve } = createRequire(import.meta.url);

const LONGEST = 300;

/** Why a provider can't be had, in one line: the library that is missing, or what the driver said. */
export function fallbackReason(provider: ExecutionProvider, cause: unknown): string {
  return missingLibrary(provider) ?? reasonIn(cause instanceof Error ? cause.message : String(cause));
}

/**
 * What ONNX Runtime says of a provider names libraries and devices, never input. Before the error of CUDA itself ("CUDA
 * failure 100: no CUDA-capable device is detected ; GPU=…") stands half a page of a C++ signature.
 */
export function reasonIn(message: string): string {
  const failure = /\b(?:CUDA|CUDNN|CUBLAS) failure \d+: [^;\n]+/.exec(message)?.[0];
  return (failure ?? message.split("\n", 1)[0] ?? "").trim().slice(0, LONGEST);
}

/**
 * What the loader says of the provider's library, which names the one that is missing ("libcublasLt.so.12: cannot open
 * shared object file"): ONNX Runtime writes that to stderr and throws "Failed to load shared library". Undefined for a
 * library that loads.
 */
function missingLibrary(provider: ExecutionProvider): string | undefined {
  if (provider === "cpu" || process.platform !== "linux") return undefined;
  // The runtime searches beside itself.
  const runtime = path.dirname(resolve("onnxruntime-node/package.json"));
  const library = `libonnxruntime_providers_${provider}.so`;
  const file = path.join(runtime, "bin/napi-v6", process.platform, process.arch, library);
  try {
    process.dlopen({ exports: {} }, file);
    return undefined;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message.replaceAll(file, library) : "";
    return /cannot open shared object file/.test(message) ? message.split("\n", 1)[0] : undefined;
  }
}
