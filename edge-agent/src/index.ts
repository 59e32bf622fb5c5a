export { startAgent, type AgentParts, type EngineOptions, type RunningAgent } from "./agent/agent.ts";
export { createEngine } from "./engine/index.ts";
export { parseAgentOptions, type AgentOptions } from "./options.ts";
