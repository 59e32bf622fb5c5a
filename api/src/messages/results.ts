import { z } from "zod";
import { itemOutputSchema } from "../task-outputs.ts";
import {
  assignmentKeySchema,
  itemRangesSchema,
  nodeIdSchema,
  taskUidSchema,
  WIRE_VERSION,
} from "./documents.ts";

const counter = z.int().min(0);

/** Header with the node's Ed25519 signature over subject, newline and sha256 of the body; base64. */
export const HEADER_SIGNATURE = "Aglm-Sig";
/** Header with the grant of the assignment. */
export const HEADER_GRANT = "Aglm-Grant";

/**
 * What a grant says: this node, with this public key, may write results of this assignment. Signed by the operator, so
 * that the ingester can judge a chunk alone, however late it comes. Text form: base64url(JSON) "." base64url(signature).
 */
export const grantSchema = assignmentKeySchema.extend({
  node: nodeIdSchema,
  /** nkey public key, U…. */
  nodeKey: z.string().regex(/^U[A-Z2-7]{55}$/),
  namespace: z.string(),
  name: z.string(),
});
export type Grant = z.infer<typeof grantSchema>;

/** Item numbers and totals leave room for sums and for cursors, which have fifteen digits. */
const itemNumber = z.int().min(0).max(1e12);

export const itemErrorSchema = z.object({ code: z.string().max(64), message: z.string().max(1024) });

/** Which model gave an answer, where that is not plain from the task: behind a gate, an endpoint or a stand-in. */
export const answeredBySchema = z.object({
  model: z.string().max(253),
  variant: z.string().max(63).optional(),
  /** The name that the endpoint gave itself in its reply. */
  served: z.string().max(253).optional(),
  /** The model that was asked for. */
  standInFor: z.string().max(253).optional(),
});
export type AnsweredBy = z.infer<typeof answeredBySchema>;

/** What the gate decided about an item, and by which rule of which policy version. */
export const gateRecordSchema = z.object({
  route: z.enum(["edge", "deep"]),
  rule: z.string().max(64),
  policy: z.string().max(64),
  pHard: z.number().min(0).max(1).optional(),
  confidence: z.number().min(0).max(1).optional(),
  margin: z.number().min(0).max(1).optional(),
});
export type GateRecord = z.infer<typeof gateRecordSchema>;

/** Result of one item: an output, or an error of that item alone. */
export const itemResultSchema = z
  .object({
    item: itemNumber,
    stage: z.enum(["provisional", "final"]),
    /** Parsing and inference of this item, milliseconds. */
    ms: z.number().min(0),
    output: itemOutputSchema.optional(),
    error: itemErrorSchema.optional(),
    /** In place of the output of a SiteOnly task, which stays on the node: sha256 of its JSON. */
    withheld: z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }).optional(),
    answeredBy: answeredBySchema.optional(),
    gate: gateRecordSchema.optional(),
    /** Where the item came from, when preprocessing split its record: offsets in the record's text. */
    source: z.object({ record: itemNumber, start: z.int().min(0), end: z.int().min(0) }).optional(),
  })
  .refine(
    ({ output, error, withheld }) =>
      [output, error, withheld].filter((member) => member !== undefined).length === 1,
    "a result has exactly one of an output, an error and a withheld digest",
  );
export type ItemResult = z.infer<typeof itemResultSchema>;

/** Some results of one assignment, in the order in which they were produced. */
export const resultChunkSchema = z.object({
  v: z.literal(WIRE_VERSION),
  node: nodeIdSchema,
  key: assignmentKeySchema,
  chunk: counter,
  /** When the chunk was sealed, by the node's clock. */
  producedAt: z.iso.datetime(),
  items: z.array(itemResultSchema).max(10000),
  /** In the last chunk of the shard: how many items its input has. */
  end: z.object({ total: itemNumber }).optional(),
});
export type ResultChunk = z.infer<typeof resultChunkSchema>;

/** How far the ingester is with the current run of a task. */
export const ledgerSchema = z.object({
  v: z.literal(WIRE_VERSION),
  task: taskUidSchema,
  run: counter,
  /** Counted by the ingester per task; a smaller one is old. */
  revision: counter,
  /** Distinct items with a final result. */
  accepted: counter,
  /** Of these, how many are errors. */
  failed: counter,
  /** Items in the input, once a shard said so. */
  total: counter.optional(),
  /** Every item of the input is accepted. */
  complete: z.boolean(),
  duplicatesDropped: counter,
  firstAcceptedAt: z.iso.datetime().optional(),
  lastAcceptedAt: z.iso.datetime().optional(),
  acceptedItems: itemRangesSchema,
  /** Per assignment: the highest chunk up to which everything is committed without a gap. */
  assignments: z.array(assignmentKeySchema.extend({ acceptedThrough: z.int().min(-1) })).max(512),
  /** The first results, for the task's status; JSON, each at most 512 characters. */
  sample: z.array(z.object({ item: counter, output: z.string().max(512) })).max(5),
  /** Set while the store refuses results because its volume is full. */
  storeFull: z.boolean(),
});
export type Ledger = z.infer<typeof ledgerSchema>;

/** Record of one item as the ingester serves it. */
export const resultRecordSchema = itemResultSchema.safeExtend({
  run: counter,
  epoch: z.int().min(1),
  node: nodeIdSchema,
  acceptedAt: z.iso.datetime(),
});
export type ResultRecord = z.infer<typeof resultRecordSchema>;

/** `GET /results/<uid>?run=&cursor=&limit=`. */
export const resultPageSchema = z.object({
  task: z.object({ uid: taskUidSchema, namespace: z.string(), name: z.string() }),
  run: counter,
  results: z.array(resultRecordSchema),
  /** Pass it back for the next page; absent on the last page of what is accepted so far. */
  cursor: z.string().optional(),
  ledger: ledgerSchema,
});
export type ResultPage = z.infer<typeof resultPageSchema>;
