/** Specs that users write, right and wrong: judged by the API server and by our own check, which must agree. */
import type { TaskSpecInput } from "@autoglm/api";

export interface WrongSpec {
  readonly what: string;
  readonly spec: Readonly<Record<string, unknown>>;
  /** Where both judges see it, as kubectl writes it. */
  readonly field: string;
  /** Of a rule: the text that both give. Absent: a matter of structure, each says it in its own words. */
  readonly message?: string;
}

const inline = { inline: ["今天很开心"] };
const ner = { type: "ner", input: inline };

export const WRONG_SPECS: readonly WrongSpec[] = [
  { what: "an unknown type", spec: { type: "translation", input: inline }, field: "spec.type" },
  { what: "no input", spec: { type: "ner" }, field: "spec.input" },
  {
    what: "an empty input",
    spec: { type: "ner", input: {} },
    field: "spec.input",
    message: "set exactly one of inline, file and configMapRef",
  },
  {
    what: "two inputs",
    spec: { type: "ner", input: { ...inline, file: "reviews.csv" } },
    field: "spec.input",
    message: "set exactly one of inline, file and configMapRef",
  },
  { what: "a priority out of range", spec: { ...ner, priority: 1001 }, field: "spec.priority" },
  { what: "a priority in words", spec: { ...ner, priority: "high" }, field: "spec.priority" },
  { what: "an unknown field", spec: { ...ner, prioritty: 1 }, field: "spec.prioritty" },
  {
    what: "an unknown field further down",
    spec: { ...ner, placement: { teir: "4Gi" } },
    field: "spec.placement.teir",
  },
  {
    what: "auto on a file",
    spec: { type: "auto", input: { file: "reviews.csv" } },
    field: "spec.type",
    message: "type auto can't look into a file on a node",
  },
  {
    what: "the default type on a file",
    spec: { input: { file: "reviews.csv" } },
    field: "spec.type",
    message: "type auto can't look into a file on a node",
  },
  {
    what: "a path that leaves the data root",
    spec: { type: "ner", input: { file: "a/../../etc/passwd" } },
    field: "spec.input.file",
    message: "file must stay below the data root of the node: no '..'",
  },
  {
    what: "an absolute path",
    spec: { type: "ner", input: { file: "/etc/passwd" } },
    field: "spec.input.file",
  },
  {
    what: "a unit that is none",
    spec: { ...ner, placement: { memory: "3GB" } },
    field: "spec.placement.memory",
  },
  {
    what: "no memory at all",
    spec: { ...ner, placement: { memory: "0Gi" } },
    field: "spec.placement.memory",
    message: "memory must be a positive quantity such as 512Mi or 3Gi",
  },
  { what: "a tier that is none", spec: { ...ner, placement: { tier: "5Gi" } }, field: "spec.placement.tier" },
  {
    what: "parameters of generation on another type",
    spec: { ...ner, parameters: { maxNewTokens: 8 } },
    field: "spec.parameters",
    message: "are parameters of text-generation",
  },
  {
    what: "topK on another type",
    spec: { ...ner, parameters: { topK: 1 } },
    field: "spec.parameters",
    message: "topK is a parameter of text-classification",
  },
  {
    what: "a probability mass of 0",
    spec: { type: "text-generation", input: inline, parameters: { topP: 0 } },
    field: "spec.parameters.topP",
  },
  {
    what: "a format for inline items",
    spec: { ...ner, inputFormat: "csv" },
    field: "spec.inputFormat",
    message: "inputFormat and inputField belong to file and configMapRef",
  },
  {
    what: "a field for inline items",
    spec: { ...ner, inputField: "review" },
    field: "spec.inputFormat",
    message: "inputFormat and inputField belong to file and configMapRef",
  },
  {
    what: "too many items",
    spec: { type: "ner", input: { inline: Array.from({ length: 1001 }, () => "x") } },
    field: "spec.input.inline",
  },
  {
    what: "an item that is too long",
    spec: { type: "ner", input: { inline: ["ok", "x".repeat(8193)] } },
    field: "spec.input.inline[1]",
  },
  {
    what: "a model name that is none",
    spec: { ...ner, model: "Sentiment_ZH" },
    field: "spec.model",
  },
  {
    what: "a negative lifetime",
    spec: { ...ner, ttlSecondsAfterFinished: -1 },
    field: "spec.ttlSecondsAfterFinished",
  },
];

export interface GoodSpec {
  readonly what: string;
  readonly spec: TaskSpecInput;
}

export const GOOD_SPECS: readonly GoodSpec[] = [
  { what: "inline items alone", spec: { input: { inline: ["今天很开心", ""] } } },
  {
    what: "an alias",
    spec: { type: "sentiment-analysis", input: { inline: ["good"] }, parameters: { topK: 1 } },
  },
  { what: "auto on a file with a model", spec: { model: "lac", input: { file: "data/reviews.v2..csv" } } },
  {
    what: "a ConfigMap with a format and a field",
    spec: {
      type: "ner",
      input: { configMapRef: { name: "reviews", key: "reviews.jsonl" } },
      inputFormat: "jsonl",
      inputField: "review",
    },
  },
  {
    what: "every field",
    spec: {
      type: "text-generation",
      model: "smollm2",
      input: { inline: ["Once upon a time"] },
      output: { format: "text" },
      parameters: {
        maxNewTokens: 16,
        temperature: 0.5,
        topP: 0.9,
        repetitionPenalty: 1.2,
        seed: 7,
        stop: ["\n"],
      },
      placement: {
        strategy: "CloudFirst",
        tier: "8Gi",
        memory: "1.5Gi",
        nodePools: ["hangzhou"],
        nodeSelector: { "kubernetes.io/arch": "amd64" },
        tolerations: [{ key: "dedicated", value: "glm", effect: "NoSchedule" }],
      },
      priority: -1000,
      run: "Continuous",
      runIntervalSeconds: 1,
      offlinePolicy: "Wait",
      suspend: true,
      ttlSecondsAfterFinished: 0,
    },
  },
  {
    what: "the most items",
    spec: { type: "ner", input: { inline: Array.from({ length: 1000 }, () => "文") } },
  },
];
