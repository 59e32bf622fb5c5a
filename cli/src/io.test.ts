import { expect, it } from "vitest";
import { readEnvironment } from "./options.ts";
import { readAll } from "./io.ts";

it("gives up reading stdin on Ctrl-C, though nobody closes it", async () => {
  const interrupt = new AbortController();
  const silence = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
  const sink = { write: () => true };
  const environment = readEnvironment({ env: {}, argv: [], stderr: {} });
  const reading = readAll({
    stdin: silence,
    signal: interrupt.signal,
    stdout: sink,
    stderr: sink,
    environment,
  });
  interrupt.abort();
  await expect(reading).rejects.toMatchObject({ code: "Aborted" });
});
