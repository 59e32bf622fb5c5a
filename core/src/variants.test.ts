import type { ModelVariant } from "@autoglm/api";
import { describe, expect, it } from "vitest";
import { chooseVariants } from "./variants.ts";

const variant = (name: string, memory: string): ModelVariant => ({
  name,
  memory,
  runtime: "onnx",
  precision: "int8",
  contextLength: 128,
  files: [],
});
const GI = 2 ** 30;

describe("chooseVariants", () => {
  it("keeps the model's order and leaves out what the tier is too small for", () => {
    const variants = [variant("fp16", "5Gi"), variant("int8", "3Gi"), variant("int4", "2Gi")];
    const choice = chooseVariants({ type: "text-classification", variants, tier: "4Gi" });
    expect(choice).toMatchObject({ isPossible: true, tier: "4Gi" });
    expect(choice.isPossible && choice.candidates.map(({ variant: { name } }) => name)).toEqual([
      "int8",
      "int4",
    ]);
  });

  it("raises the default tier of the type to one that a variant fits, but not a tier that the task names", () => {
    const variants = [variant("fp16", "5Gi")];
    expect(chooseVariants({ type: "text-classification", variants })).toMatchObject({
      isPossible: true,
      tier: "6Gi",
    });
    expect(chooseVariants({ type: "text-classification", variants, tier: "4Gi" })).toEqual({
      isPossible: false,
      tier: "4Gi",
      smallestTier: "6Gi",
      smallestBytes: 5 * GI,
    });
  });

  it("reserves what the task asks for where that is more", () => {
    const variants = [variant("int4", "2Gi")];
    const choice = chooseVariants({ type: "text-generation", variants, memory: "7Gi" });
    expect(choice).toMatchObject({ tier: "8Gi", candidates: [{ bytes: 7 * GI }] });
    expect(chooseVariants({ type: "text-generation", variants, memory: "1Gi" })).toMatchObject({
      candidates: [{ bytes: 2 * GI }],
    });
  });

  it("sets the highest tier no upper end", () => {
    const choice = chooseVariants({
      type: "text-generation",
      variants: [variant("fp16", "18Gi")],
      tier: "8Gi",
    });
    expect(choice).toMatchObject({ isPossible: true });
  });
});
