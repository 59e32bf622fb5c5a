import type { EndpointWorkModel } from "@autoglm/api";
import type { ModelOnDisk } from "../models/model-store.ts";
import { isEndpoint, type InferenceEngine } from "./ports.ts";

/** One engine for all models: files go to ONNX Runtime, endpoints to the client of endpoints. */
export function routeEngines(
  onnx: InferenceEngine<ModelOnDisk>,
  remote: InferenceEngine<EndpointWorkModel>,
): InferenceEngine {
  return {
    load: (model, signal) => (isEndpoint(model) ? remote.load(model, signal) : onnx.load(model, signal)),
    infer: ({ model, ...request }) =>
      isEndpoint(model) ? remote.infer({ ...request, model }) : onnx.infer({ ...request, model }),
    reports: () => [...onnx.reports(), ...remote.reports()],
    usedBytes: () => onnx.usedBytes() + remote.usedBytes(),
    close: async () => {
      await Promise.all([onnx.close(), remote.close()]);
    },
  };
}
