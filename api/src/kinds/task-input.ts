import { z } from "zod";
import { kubernetesName, withRules } from "./meta.ts";

/** Longest text of one item, in characters; a longer one belongs into a file or a ConfigMap. */
export const MAX_INLINE_ITEM_CHARACTERS = 8192;
export const MAX_INLINE_ITEMS = 1000;

/** What `inputFormat` accepts: `image` is png, jpeg or webp; zip and tar hold any of the others. */
export const INPUT_FORMATS = [
  "auto",
  "text",
  "csv",
  "tsv",
  "json",
  "jsonl",
  "xlsx",
  "parquet",
  "html",
  "markdown",
  "xml",
  "pdf",
  "docx",
  "yaml",
  "image",
  "audio",
  "zip",
  "tar",
] as const;
export type InputFormat = (typeof INPUT_FORMATS)[number];

const INPUT_MEMBERS = ["inline", "file", "configMapRef", "url", "objectRef"] as const;

export const inputSchema = withRules(
  z
    .strictObject({
      inline: z
        .array(z.string().max(MAX_INLINE_ITEM_CHARACTERS))
        .min(1)
        .max(MAX_INLINE_ITEMS)
        .optional()
        .describe(
          "The items themselves, one text each; for type tensor each is the JSON of the inputs as in the Open Inference Protocol. Every item gets its own result.",
        ),
      file: z
        .string()
        .min(1)
        .max(1024)
        .regex(/^[^\0]*$/)
        .optional()
        .describe(
          "Path of a file below the data root of the node, e.g. reviews.csv. Its format is recognised by content: see inputFormat.",
        ),
      configMapRef: z
        .strictObject({
          name: kubernetesName("Name of a ConfigMap in the namespace of the task."),
          key: z
            .string()
            .min(1)
            .max(253)
            .optional()
            .describe("Key whose value is the document; may be left out when the ConfigMap has one key."),
        })
        .optional()
        .describe("A ConfigMap that holds the input document, recognised like a file."),
      url: z
        .string()
        .max(2048)
        .regex(/^https?:\/\/[^\s/]+(\/\S*)?$/)
        .optional()
        .describe(
          "http(s) address that the node reads the input document from. Its host must be allowed on the node (AUTOGLM_INPUT_HOSTS); none is by default.",
        ),
      objectRef: z
        .strictObject({
          bucket: z
            .string()
            .min(3)
            .max(63)
            .regex(/^[a-z0-9][-a-z0-9.]*[a-z0-9]$/)
            .describe("Bucket of the object store that the node is configured for."),
          key: z.string().min(1).max(1024).describe("Key of the object."),
        })
        .optional()
        .describe("An object in the S3-compatible store of the node (AUTOGLM_OBJECT_STORE_URL)."),
    })
    .describe(`What to work on: exactly one of ${INPUT_MEMBERS.join(", ")}.`),
  [
    {
      rule: `[${INPUT_MEMBERS.map((member) => `has(self.${member})`).join(", ")}].filter(x, x).size() == 1`,
      message: `set exactly one of ${INPUT_MEMBERS.join(", ")}`,
      holds: (input) => INPUT_MEMBERS.filter((member) => input[member] !== undefined).length === 1,
    },
    {
      rule: "!has(self.file) || !self.file.startsWith('/')",
      message: "file is a path below the data root of the node, without a leading /",
      fieldPath: ".file",
      holds: ({ file }) => file?.startsWith("/") !== true,
    },
    {
      rule: "!has(self.file) || !self.file.split('/').exists(part, part == '..')",
      message: "file must stay below the data root of the node: no '..'",
      fieldPath: ".file",
      holds: ({ file }) => file === undefined || !file.split("/").includes(".."),
    },
  ],
);

export const PREPROCESS_STEPS = ["nfkc", "whitespace", "stripHtml", "dedupe", "language", "split"] as const;

const preprocessStepSchema = withRules(
  z
    .strictObject({
      step: z
        .enum(PREPROCESS_STEPS)
        .describe(
          "nfkc: Unicode compatibility forms become plain ones. whitespace: runs become one blank. stripHtml: tags go. dedupe: an item whose text was there before is left out. language: items in other languages are left out. split: long texts become several items.",
        ),
      languages: z
        .array(z.string().min(2).max(3))
        .min(1)
        .max(16)
        .optional()
        .describe("language: ISO 639 codes to keep, e.g. [zh, en]."),
      maxCharacters: z.int().min(16).max(1000000).optional().describe("split: longest piece."),
      overlap: z
        .int()
        .min(0)
        .max(100000)
        .optional()
        .describe("split: characters that a piece shares with the one before. Default 0."),
    })
    .describe("One step."),
  [
    {
      rule: "(self.step == 'language') == has(self.languages)",
      message: "step language needs languages, and no other step takes them",
      fieldPath: ".step",
      holds: ({ step, languages }) => (step === "language") === (languages !== undefined),
    },
    {
      rule: "(self.step == 'split') == has(self.maxCharacters) && (self.step == 'split' || !has(self.overlap))",
      message: "step split needs maxCharacters and may have overlap; no other step takes them",
      fieldPath: ".step",
      holds: ({ step, maxCharacters, overlap }) =>
        (step === "split") === (maxCharacters !== undefined) && (step === "split" || overlap === undefined),
    },
    {
      rule: "!has(self.overlap) || !has(self.maxCharacters) || self.overlap < self.maxCharacters",
      message: "overlap must be less than maxCharacters",
      holds: ({ overlap = 0, maxCharacters = Infinity }) => overlap < maxCharacters,
    },
  ],
);
export type PreprocessStep = z.output<typeof preprocessStepSchema>;

export const preprocessSchema = z
  .array(preprocessStepSchema)
  .min(1)
  .max(8)
  .describe(
    "Steps that every text goes through before the model, in this order. Offsets in results count in the text as it was read.",
  );
