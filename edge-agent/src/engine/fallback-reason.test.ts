import { expect, test } from "vitest";
import { fallbackReason, reasonIn } from "./fallback-reason.ts";

test("a provider whose library is not installed is named by it", () => {
  const thrown = new Error("OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library");
  expect(fallbackReason("cuda", thrown)).toMatch(
    /^libonnxruntime_providers_cuda\.so: cannot open shared object file/,
  );
});

test("of a failure of the driver its own words are left", () => {
  // As onnxruntime 1.30 throws it with CUDA_VISIBLE_DEVICES=-1.
  const message =
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::conditional_t<THRW, void, " +
    "onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const char*, const char*, SUCCTYPE, const char*) " +
    "[with ERRTYPE = cudaError; bool THRW = true] CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; " +
    "hostname=node-7 ; file=/onnxruntime_src/cuda_execution_provider.cc ; line=309 ; expr=cudaSetDevice(device);\n\n";
  expect(reasonIn(message)).toBe("CUDA failure 100: no CUDA-capable device is detected");
});

test("anything else is cut to its first line", () => {
  expect(reasonIn(`first ${"x".repeat(400)}\nsecond`)).toHaveLength(300);
});
