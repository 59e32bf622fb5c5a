import { expect, it } from "vitest";
import { readEnvironment } from "./options.ts";
import { readAll, say } from "./io.ts";

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

it("says what a node reported without letting it control the terminal", () => {
  let said = "";
  const write = (text: string) => (said += text);
  const environment = readEnvironment({ env: {}, argv: [], stderr: {} });
  const stdin = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
  say(
    { stdin, signal: new AbortController().signal, stdout: { write }, stderr: { write }, environment },
    "\u001b]0;x\u0007",
  );
  expect(said).toBe("\\u001b]0;x\\u0007\n");
});
