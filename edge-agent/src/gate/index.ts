export { GatedEngine, gateOptionsOf, type GatedEngineOptions } from "./gated-engine.ts";
export { GateState } from "./gate-state.ts";
export { shippedPreGate } from "./shipped-network.ts";
