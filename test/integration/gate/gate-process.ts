/**
 * A gate in a process of its own, to be killed. argv: the state folder. Answers reviews without end, audits half of what it
 * is sure of, and writes a line for each answer: the model that gave it.
 */
import { createEngine } from "../../../edge-agent/src/engine/index.ts";
import { routeEngines } from "../../../edge-agent/src/agent/engine-router.ts";
import { RemoteEngine } from "../../../edge-agent/src/remote/index.ts";
import { openGate, REVIEWS, silent } from "./pair.ts";

const [folder = ""] = process.argv.slice(2);
const engine = createEngine({ threads: 2, memoryBudgetBytes: 2 ** 31, log: silent });
const remote = new RemoteEngine({ keysFolder: undefined, stateFolder: undefined, log: silent });
const policy = { auditShare: 0.5, budget: { maxEscalations: 1000 } };
const { gate, infer } = await openGate(routeEngines(engine, remote), folder, policy);
for (let round = 0; ; round++) {
  const results = await infer(REVIEWS.map((review) => `${review}${round}`));
  for (const { answeredBy } of results) process.stdout.write(`${answeredBy?.model}\n`);
  if (round > 100_000) await gate.close();
}
