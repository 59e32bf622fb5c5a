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
