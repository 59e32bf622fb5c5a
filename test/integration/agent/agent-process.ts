/** An agent with the fake engine as a process of its own, to be killed. */
import { parseAgentOptions, startAgent } from "@autoglm/edge-agent";
import { FakeEngine } from "./fake-engine.ts";

const itemMs = Number(process.env["AUTOGLM_TEST_ITEM_MS"] ?? "0");
const agent = await startAgent(parseAgentOptions(process.env), {
  createEngine: () => new FakeEngine({ itemMs }),
});
process.once("SIGTERM", () => void agent.stop());
await agent.stopped;
process.exit(0);
