import { describe, expect, it } from "vitest";
import { judgeLiveness, type LivenessFacts } from "./liveness.ts";

const judge = (facts: Partial<LivenessFacts>) =>
  judgeLiveness({ listeningForMs: 1e9, heartbeatTimeoutMs: 15_000, patienceMs: 300_000, ...facts });

describe("judgeLiveness", () => {
  it("believes a node that was just heard, and looks again when it should have been heard", () => {
    expect(judge({ silentForMs: 5000 })).toEqual({ link: "Connected", isGone: false, recheckMs: 10_000 });
  });

  it("does not know about a silent node, and gives it up when its patience is over", () => {
    expect(judge({ silentForMs: 15_000 })).toEqual({ link: "Unknown", isGone: false, recheckMs: 285_000 });
    expect(judge({ silentForMs: 300_000 })).toEqual({ link: "Unknown", isGone: true });
  });

  it("waits as long as the autonomy duration says, and never gives up a node whose duration is zero or less", () => {
    expect(judge({ silentForMs: 400_000, autonomyMs: 86_400_000 })).toMatchObject({ isGone: false });
    expect(judge({ silentForMs: 1e12, autonomyMs: 0 })).toEqual({ link: "Unknown", isGone: false });
    expect(judge({ silentForMs: 1e12, autonomyMs: -1 })).toEqual({ link: "Unknown", isGone: false });
    expect(judge({ silentForMs: 200_000, autonomyMs: 1000 })).toMatchObject({ isGone: false });
  });

  it("says nothing new right after a start, and counts the silence from there", () => {
    expect(judge({ listeningForMs: 1000, previousLink: "Connected" })).toMatchObject({
      link: "Connected",
      isGone: false,
    });
    expect(judge({ listeningForMs: 20_000, previousLink: "Connected" })).toMatchObject({
      link: "Unknown",
      isGone: false,
    });
    expect(judge({ listeningForMs: 300_000, previousLink: "Connected" })).toMatchObject({
      link: "Unknown",
      isGone: true,
    });
    expect(judge({ listeningForMs: 20_000 })).toMatchObject({ link: "Never" });
  });
});
