export { nodeIdOf } from "./node-id.ts";
export { parseGoDurationMs } from "./go-duration.ts";
export {
  gfdMemoryMib,
  parseTierLabel,
  resolveTier,
  tierOfMib,
  type Labels,
  type TierFacts,
  type TierFloors,
  type TierVerdict,
} from "./tier.ts";
export {
  recogniseNode,
  type Flavour,
  type Location,
  type NodeRecognition,
  type RecognitionFacts,
} from "./node-recognition.ts";
export { recogniseTaskType, type TypeRecognition } from "./task-type-recognition.ts";
export {
  chooseVariants,
  keyNamesOf,
  type VariantCandidate,
  type VariantChoice,
  type VariantFacts,
} from "./variants.ts";
export {
  leastNeed,
  placeTask,
  rejectionOf,
  untoleratedTaint,
  type Need,
  type NodeView,
  type Placed,
  type PlacementOutcome,
  type PlacementRequest,
  type Taint,
  type Unplaced,
} from "./placement.ts";
export { hintFor, type HintFacts } from "./placement-hint.ts";
export { compareQueueEntries, scheduleQueue, type QueueEntry } from "./schedule.ts";
export { MemoryLedger, capacityBytes, steadyBytes, type Reservation } from "./memory-ledger.ts";
export { exactQuantity } from "./quantities.ts";
export {
  NO_ITEMS,
  addItem,
  containsItem,
  contiguousFromZero,
  countItems,
  rangesOf,
  subtractRanges,
  unionOfRanges,
} from "./item-ranges.ts";
export { isNewerLedger, taskLedgerOf, type TaskLedgerFacts } from "./ledger-rules.ts";
export { judgeLiveness, type Link, type Liveness, type LivenessFacts } from "./liveness.ts";
export { BudgetLedger, type BudgetLimits, type BudgetReservation, type BudgetSpent } from "./gate/budget.ts";
export {
  calibratedConfidence,
  calibrationError,
  fitTemperature,
  initialCalibration,
  learnOutcome,
  type CalibrationState,
  type ScoredAnswer,
} from "./gate/calibration.ts";
export {
  GateReplay,
  type GateDecisionRecord,
  type GateOpenRecord,
  type GateOutcomeRecord,
  type GateLogRecord,
  type ReplayDifference,
} from "./gate/decision-log.ts";
export {
  evaluateGate,
  intervalOf,
  summarizeGate,
  type GateEvalRow,
  type GateSummary,
  type GateTrial,
  type Interval,
} from "./gate/evaluation.ts";
export { GATE_VECTOR_LENGTH, gateFeaturesOf, gateVectorOf, type GateFeatures } from "./gate/features.ts";
export {
  decideGate,
  DEFAULT_GATE_POLICY,
  GATE_POLICY_VERSION,
  type GateDecision,
  type GateInputs,
  type GatePolicy,
  type GateRule,
} from "./gate/policy.ts";
export { answersAgree, answerSignalOf, type AnswerSignal } from "./gate/signal.ts";
export { compareNumbers } from "./compare.ts";
export { firstNames } from "./first-names.ts";
export { languageOf, scriptOf, type TextLanguage, type TextScript } from "./language.ts";
export {
  choosePrompt,
  choosePrompts,
  promptForText,
  workPromptOf,
  type PromptCandidate,
  type PromptFacts,
} from "./prompts.ts";
export { editDistance, judgeQuality, type Gold, type Judged, type Quality } from "./quality/measures.ts";
export { bootstrap, proportion, seededRandom, type Estimate } from "./quality/intervals.ts";
