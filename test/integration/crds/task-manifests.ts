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
    message: "set exactly one of inline, file, configMapRef, url, objectRef",
  },
  {
    what: "two inputs",
    spec: { type: "ner", input: { ...inline, file: "reviews.csv" } },
    field: "spec.input",
    message: "set exactly one of inline, file, configMapRef, url, objectRef",
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
    message: "type auto can't look into a file, a url or an object",
  },
  {
    what: "the default type on a file",
    spec: { input: { file: "reviews.csv" } },
    field: "spec.type",
    message: "type auto can't look into a file, a url or an object",
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
    what: "parameters of generation on a type that is never generated",
    spec: { type: "image-classification", input: { file: "a.png" }, parameters: { maxNewTokens: 8 } },
    field: "spec.parameters",
    message: "maxNewTokens is a parameter of text-classification",
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
    message: "inputFormat and inputField belong to documents",
  },
  {
    what: "a field for inline items",
    spec: { ...ner, inputField: "review" },
    field: "spec.inputFormat",
    message: "inputFormat and inputField belong to documents",
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
    spec: { ...ner, model: "Sentiment ZH" },
    field: "spec.model",
  },
  {
    what: "an image in words",
    spec: { type: "ocr", input: inline },
    field: "spec.input",
    message: "images and sounds come from file, url or objectRef",
  },
  {
    what: "no labels to choose from",
    spec: { type: "zero-shot-classification", input: inline },
    field: "spec",
    message: "parameters.candidateLabels is needed",
  },
  {
    what: "contexts without a question",
    spec: { type: "question-answering", input: inline },
    field: "spec",
    message: "parameters.question is needed",
  },
  {
    what: "a text for the site alone that comes through the cloud",
    spec: { ...ner, dataClass: "SiteOnly" },
    field: "spec.dataClass",
    message: "SiteOnly input must already be at the site",
  },
  {
    what: "an address that is none",
    spec: { type: "ner", input: { url: "ftp://example.com/a.csv" } },
    field: "spec.input.url",
  },
  {
    what: "a split without a length",
    spec: { ...ner, preprocess: [{ step: "split" }] },
    field: "spec.preprocess[0].step",
    message: "step split needs maxCharacters",
  },
  {
    what: "a language step without languages",
    spec: { ...ner, preprocess: [{ step: "language" }] },
    field: "spec.preprocess[0].step",
    message: "step language needs languages",
  },
  {
    what: "pieces that never move on",
    spec: { ...ner, preprocess: [{ step: "split", maxCharacters: 64, overlap: 64 }] },
    field: "spec.preprocess[0]",
    message: "overlap must be less than maxCharacters",
  },
  {
    what: "a prompt with a name and a template",
    spec: { ...ner, prompt: { name: "mine", template: "{{ text }}" } },
    field: "spec.prompt",
    message: "set exactly one of name and template",
  },
  {
    what: "a named prompt with limits of its own",
    spec: { ...ner, prompt: { name: "mine", maxNewTokens: 8 } },
    field: "spec.prompt",
    message: "a named prompt brings its own",
  },
  {
    what: "a gate without a model behind it",
    spec: { ...ner, gating: { threshold: 0.5 } },
    field: "spec.gating.model",
  },
  {
    what: "a share above all",
    spec: { ...ner, gating: { model: "glm-4", auditShare: 1.5 } },
    field: "spec.gating.auditShare",
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
    what: "prompt, gate and preprocessing",
    spec: {
      type: "ner",
      model: "GLM-4-Flash",
      input: { url: "https://data.example.com/news.jsonl" },
      preprocess: [
        { step: "nfkc" },
        { step: "stripHtml" },
        { step: "whitespace" },
        { step: "dedupe" },
        { step: "language", languages: ["zh", "en"] },
        { step: "split", maxCharacters: 512, overlap: 32 },
      ],
      prompt: { template: "{{ text }}", examples: [{ input: "李白", output: "[]" }], variables: {} },
      parameters: { candidateLabels: ["PER"], maxNewTokens: 64 },
      gating: { model: "glm-4", mode: "Post", budget: { maxEscalations: 10 } },
    },
  },
  {
    what: "work that stays at the site",
    spec: {
      type: "ocr",
      input: { objectRef: { bucket: "scans", key: "2026/a.png" } },
      dataClass: "SiteOnly",
    },
  },
  {
    what: "the most items",
    spec: { type: "ner", input: { inline: Array.from({ length: 1000 }, () => "文") } },
  },
];
