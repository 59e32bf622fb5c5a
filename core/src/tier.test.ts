import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gfdMemoryMib, parseTierLabel, resolveTier, tierOfMib } from "./tier.ts";

describe("tierOfMib", () => {
  it.each([
    [3799, undefined],
    [3800, "4Gi"],
    [4096, "4Gi"],
    [5934, "6Gi"],
    [7805, "8Gi"],
    [39_538, "8Gi"],
  ])("takes a card of %i MiB for %s", (mib, tier) => {
    expect(tierOfMib(mib)).toBe(tier);
  });
});

describe("gfdMemoryMib", () => {
  it("divides what time-slicing shares out", () => {
    const labels = { "nvidia.com/gpu.memory": "16000", "nvidia.com/gpu.replicas": "4" };
    expect(gfdMemoryMib({ ...labels, "nvidia.com/gpu.product": "Tesla-T4-SHARED" })).toBe(4000);
    expect(gfdMemoryMib({ ...labels, "nvidia.com/gpu.product": "Tesla-T4" })).toBe(16_000);
  });

  it.each([undefined, "0", "N/A", "", "-1"])("knows nothing of a part that reports %j", (value) => {
    expect(gfdMemoryMib(value === undefined ? {} : { "nvidia.com/gpu.memory": value })).toBeUndefined();
  });
});

describe("resolveTier", () => {
  it("believes the label before GFD before the probe, and lists who says otherwise", () => {
    const labels = { "autoglm.io/tier": "6", "nvidia.com/gpu.memory": "8192" };
    expect(resolveTier({ labels, probedTier: "4Gi" })).toEqual({
      tier: "6Gi",
      source: "Label",
      conflicts: ["GFD says 8Gi (8192 MiB)", "the agent's probe says 4Gi"],
    });
    expect(resolveTier({ labels: { "nvidia.com/gpu.memory": "8192" }, probedTier: "8Gi" })).toEqual({
      tier: "8Gi",
      source: "GFD",
      conflicts: [],
    });
  });

  it("names a label that can't be read and goes on to the next source", () => {
    expect(resolveTier({ labels: { "autoglm.io/tier": "12Gi" }, probedTier: "8Gi" })).toEqual({
      tier: "8Gi",
      source: "Probe",
      conflicts: ["label autoglm.io/tier=12Gi is none of 4Gi, 6Gi, 8Gi"],
    });
  });

  it("knows no tier where nobody does", () => {
    expect(resolveTier({ labels: { "nvidia.com/gpu.memory": "0" } })).toEqual({ conflicts: [] });
  });

  it("never lets a larger card fall into a lower tier", () => {
    fc.assert(
      fc.property(fc.integer({ min: 3800, max: 200_000 }), fc.nat(100_000), (mib, more) => {
        const order = ["4Gi", "6Gi", "8Gi"];
        expect(order.indexOf(tierOfMib(mib + more) ?? "")).toBeGreaterThanOrEqual(
          order.indexOf(tierOfMib(mib) ?? ""),
        );
      }),
    );
  });

  it.each([
    ["4", "4Gi"],
    ["4Gi", "4Gi"],
    ["8Gi", "8Gi"],
    ["4G", undefined],
    ["", undefined],
  ])("reads label %j as %s", (value, tier) => {
    expect(parseTierLabel(value)).toBe(tier);
  });
});
