/**
 * The agent as a process. Exit codes: 0 drained after SIGTERM or SIGINT, 1 failed (the log says why; start it again),
 * 2 an option is wrong, 3 the operator refused the node, 4 another agent has the state folder.
 */
import { AutoglmError, toAutoglmError, type ErrorCode } from "@autoglm/api";
import { createLogger } from "@autoglm/telemetry";
import { startAgent } from "./agent/agent.ts";
import { createEngine, type Engine } from "./engine/index.ts";
import { startInferenceFront } from "./http/index.ts";
import { readAgentOptions } from "./options.ts";

const EXIT_CODES: Partial<Record<ErrorCode, number>> = { InvalidOption: 2, EnrolmentRefused: 3, Conflict: 4 };

async function main(): Promise<void> {
  const options = readAgentOptions();
  const { port, queueLimit, ...http } = options.http;
  // The agent's loop asks engines of any kind; the inference port is for models on this node.
  let onnx: Engine | undefined;
  const agent = await startAgent(options, {
    createEngine: (engineOptions) => (onnx = createEngine({ ...engineOptions, queueLimit })),
    openInferencePort:
      port === undefined
        ? undefined
        : async (context) => {
            if (onnx === undefined) throw new AutoglmError("Internal", "the engine is not there yet");
            return startInferenceFront({ ...http, ...context, port, engine: onnx });
          },
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void agent.stop());
  await agent.stopped;
}

try {
  await main();
  // Whatever still holds the event loop must not hold the supervisor.
  process.exit(0);
} catch (cause) {
  const error = toAutoglmError(cause);
  createLogger({ name: "edge-agent", level: "error" }).error({ error }, "the agent can't go on");
  process.exit(EXIT_CODES[error.code] ?? 1);
}
