import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Limiter } from "./limiter.ts";

const never = new AbortController().signal;

describe("the limit of open requests", () => {
  it("is kept, halved by a busy server, and grows again", async () => {
    const limiter = new Limiter(8);
    let open = 0;
    let most = 0;
    const run = (count: number) =>
      Promise.all(
        Array.from({ length: count }, () =>
          limiter.run(never, async () => {
            most = Math.max(most, ++open);
            await sleep(1);
            open--;
            limiter.noteAnswer();
          }),
        ),
      );
    await run(40);
    expect(most).toBe(8);
    limiter.noteBusy(0);
    limiter.noteBusy(0);
    expect(limiter.limit).toBe(2);
    most = 0;
    await run(12);
    expect(most).toBe(2);
    await run(200);
    expect(limiter.limit).toBe(8);
    for (let times = 0; times < 9; times++) limiter.noteBusy(0);
    expect(limiter.limit).toBe(1);
  });

  it("lets others in when one that waits is aborted, or fails", async () => {
    const limiter = new Limiter(1);
    const release = Promise.withResolvers<void>();
    const first = limiter.run(never, () => release.promise);
    const stop = new AbortController();
    const aborted = limiter.run(stop.signal, async () => "never");
    const third = limiter.run(never, async () => "third");
    stop.abort(new Error("stopped"));
    await expect(aborted).rejects.toThrow("stopped");
    release.reject(new Error("failed"));
    await expect(first).rejects.toThrow("failed");
    expect(await third).toBe("third");
  });

  it("is nothing during a pause", async () => {
    const limiter = new Limiter(4);
    limiter.noteBusy(60);
    const start = performance.now();
    await limiter.run(never, async () => undefined);
    expect(performance.now() - start).toBeGreaterThanOrEqual(55);
    const stop = new AbortController();
    limiter.noteBusy(10_000);
    const waiting = limiter.run(stop.signal, async () => undefined);
    stop.abort();
    await expect(waiting).rejects.toThrow();
  });
});
