import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gateFeaturesOf } from "./features.ts";
import { decideGate, DEFAULT_GATE_POLICY, type GateInputs, type GatePolicy } from "./policy.ts";

const features = gateFeaturesOf("房间很大", "text-classification");
const empty = gateFeaturesOf(" \n", "text-classification");

const inputs = (change: Partial<GateInputs> = {}): GateInputs => ({
  stage: "post",
  features,
  dataClass: "Anywhere",
  link: "Up",
  escalationsLeft: null,
  tokensLeft: null,
  tokens: 100,
  isOpen: false,
  pHard: 0.2,
  confidence: 0.9,
  margin: 0.8,
  edgeFailed: false,
  wasHard: false,
  auditDraw: null,
  ...change,
});
const policy = (change: Partial<GatePolicy> = {}): GatePolicy => ({
  ...DEFAULT_GATE_POLICY,
  hysteresis: 0,
  minMargin: 0,
  ...change,
});

describe("decideGate", () => {
  it.each<[string, Partial<GatePolicy>, Partial<GateInputs>, string]>([
    ["lets a confident answer stand", {}, {}, "edge Confident"],
    ["escalates a doubtful answer", {}, { confidence: 0.6 }, "deep LowConfidence"],
    ["escalates an answer that hardly leads", { minMargin: 0.3 }, { margin: 0.2 }, "deep SmallMargin"],
    ["asks the deep model where the edge has no answer", {}, { edgeFailed: true }, "deep EdgeFailed"],
    ["can't judge an answer without a score", {}, { confidence: null, margin: null }, "edge NoConfidence"],
    ["opens at a P(hard) of one half", {}, { stage: "pre", pHard: 0.5 }, "deep PredictedHard"],
    ["stays closed below it", {}, { stage: "pre", pHard: 0.499 }, "edge PredictedEasy"],
    ["tries the edge where no network said", {}, { stage: "pre", pHard: null }, "edge NotPredicted"],
    ["takes an empty input for hard", {}, { stage: "pre", features: empty, pHard: null }, "deep EmptyInput"],
    ["takes it for hard after the answer too", { mode: "Post" }, { features: empty }, "deep EmptyInput"],
    [
      "leaves the answer alone before-the-answer only",
      { mode: "Pre" },
      { confidence: 0.1 },
      "edge PredictedEasy",
    ],
    [
      "leaves the input alone after-the-answer only",
      { mode: "Post" },
      { stage: "pre", pHard: 1 },
      "edge PredictedEasy",
    ],
    ["asks again for a hard input that was forbidden before", {}, { wasHard: true }, "deep PredictedHard"],
    ["says what forbids it still", {}, { wasHard: true, link: "Down" }, "edge LinkDown"],
    ["audits the share that is drawn", { auditShare: 0.1 }, { auditDraw: 0.09 }, "deep Audit"],
    ["audits no more than that", { auditShare: 0.1 }, { auditDraw: 0.1 }, "edge Confident"],
    ["keeps a hard input on its site", {}, { confidence: 0, dataClass: "SiteOnly" }, "edge SiteOnly"],
    ["keeps a confident answer's reason on a site", {}, { dataClass: "SiteOnly" }, "edge Confident"],
    [
      "audits nothing on a site",
      { auditShare: 1 },
      { auditDraw: 0, dataClass: "SiteOnly" },
      "edge Confident",
    ],
    ["answers at the edge while the link is down", {}, { confidence: 0, link: "Down" }, "edge LinkDown"],
    [
      "stops when the escalations are spent",
      {},
      { confidence: 0, escalationsLeft: 0 },
      "edge EscalationsSpent",
    ],
    ["stops when the tokens don't suffice", {}, { confidence: 0, tokensLeft: 99 }, "edge TokensSpent"],
    ["goes on while they do", {}, { confidence: 0, tokensLeft: 100 }, "deep LowConfidence"],
    ["keeps the edge's answer when the deep model has none", {}, { stage: "fallback" }, "edge DeepFailed"],
    [
      "is easier to pass while open",
      { hysteresis: 0.1 },
      { stage: "pre", pHard: 0.45, isOpen: true },
      "deep PredictedHard",
    ],
    [
      "asks more of an answer while open",
      { hysteresis: 0.1 },
      { confidence: 0.75, isOpen: true },
      "deep LowConfidence",
    ],
  ])("%s", (_, policyChange, inputsChange, expected) => {
    const { route, rule } = decideGate(policy(policyChange), inputs(inputsChange));
    expect(`${route} ${rule}`).toBe(expected);
  });

  it("opens with a hard item, stays open within the band and closes with an easy one", () => {
    const held = policy({ hysteresis: 0.1 });
    let isOpen = false;
    const routes = [0.45, 0.6, 0.45, 0.39, 0.45].map((pHard) => {
      const decision = decideGate(held, inputs({ stage: "pre", pHard, isOpen }));
      isOpen = decision.isOpen;
      return decision.route;
    });
    expect(routes).toEqual(["edge", "deep", "deep", "edge", "edge"]);
  });
});

describe("laws", () => {
  const unit = fc.double({ min: 0, max: 1, noNaN: true });
  const maybe = (arbitrary: fc.Arbitrary<number>) => fc.option(arbitrary, { nil: null });
  const anyPolicy: fc.Arbitrary<GatePolicy> = fc.record({
    mode: fc.constantFrom("Pre", "Post", "Both"),
    threshold: unit,
    minConfidence: unit,
    minMargin: unit,
    hysteresis: fc.double({ min: 0, max: 0.5, noNaN: true }),
    auditShare: unit,
  });
  const anyInputs: fc.Arbitrary<GateInputs> = fc.record({
    stage: fc.constantFrom("pre", "post", "fallback"),
    features: fc.constantFrom(features, empty),
    dataClass: fc.constantFrom("Anywhere", "SiteOnly"),
    link: fc.constantFrom("Up", "Down"),
    escalationsLeft: maybe(fc.nat(3)),
    tokensLeft: maybe(fc.nat(200)),
    tokens: fc.nat(200),
    isOpen: fc.boolean(),
    pHard: maybe(unit),
    confidence: maybe(unit),
    margin: maybe(unit),
    edgeFailed: fc.boolean(),
    wasHard: fc.boolean(),
    auditDraw: maybe(unit),
  });

  it("never sends a SiteOnly input to the deep model", () => {
    fc.assert(
      fc.property(anyPolicy, anyInputs, (policy, inputs) => {
        expect(decideGate(policy, { ...inputs, dataClass: "SiteOnly" }).route).toBe("edge");
      }),
    );
  });

  it("answers at the edge whenever the link is down", () => {
    fc.assert(
      fc.property(anyPolicy, anyInputs, (policy, inputs) => {
        expect(decideGate(policy, { ...inputs, link: "Down" }).route).toBe("edge");
      }),
    );
  });

  it("never escalates what does not fit into the budget", () => {
    fc.assert(
      fc.property(anyPolicy, anyInputs, (policy, inputs) => {
        if (decideGate(policy, inputs).route === "edge") return;
        expect(inputs.escalationsLeft ?? 1).toBeGreaterThanOrEqual(1);
        expect(inputs.tokensLeft ?? Infinity).toBeGreaterThanOrEqual(inputs.tokens);
      }),
    );
  });

  it("never escalates a more confident answer where a less confident one stood", () => {
    fc.assert(
      fc.property(anyPolicy, anyInputs, unit, unit, (policy, inputs, one, other) => {
        const [less, more] = [Math.min(one, other), Math.max(one, other)];
        if (decideGate(policy, { ...inputs, confidence: less }).route === "deep") return;
        expect(decideGate(policy, { ...inputs, confidence: more }).route).toBe("edge");
      }),
    );
  });

  it("never escalates an easier input where a harder one stayed", () => {
    fc.assert(
      fc.property(anyPolicy, anyInputs, unit, unit, (policy, inputs, one, other) => {
        const [less, more] = [Math.min(one, other), Math.max(one, other)];
        if (decideGate(policy, { ...inputs, pHard: more }).route === "deep") return;
        expect(decideGate(policy, { ...inputs, pHard: less }).route).toBe("edge");
      }),
    );
  });

  it("decides again what it decided, from inputs that went through a log", () => {
    fc.assert(
      fc.property(anyPolicy, anyInputs, (policy, inputs) => {
        const read: { policy: GatePolicy; inputs: GateInputs } = JSON.parse(
          JSON.stringify({ policy, inputs }),
        );
        expect(decideGate(read.policy, read.inputs)).toEqual(decideGate(policy, inputs));
      }),
    );
  });
});
