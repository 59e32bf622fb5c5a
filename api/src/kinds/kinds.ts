import { z } from "zod";
import { API_VERSION } from "../names.ts";
import { type CelRule, objectMetaSchema, type ObjectMeta } from "./meta.ts";
import { modelSpecSchema, modelStatusSchema, type ModelSpec, type ModelStatus } from "./model.ts";
import { nodeSpecSchema, nodeStatusSchema, type NodeSpec, type NodeStatus } from "./node.ts";
import { promptSpecSchema, type PromptSpec } from "./prompt.ts";
import { taskRootRules, taskSpecSchema, type TaskSpec } from "./task.ts";
import { taskStatusSchema, type TaskStatus } from "./task-status.ts";

interface KubeObject<Kind extends string, Spec, Status> {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: Kind;
  readonly metadata: ObjectMeta;
  readonly spec: Spec;
  readonly status?: Status | undefined;
}
export type AutoGLMTask = KubeObject<"AutoGLMTask", TaskSpec, TaskStatus>;
export type AutoGLMModel = KubeObject<"AutoGLMModel", ModelSpec, ModelStatus>;
export type AutoGLMNode = KubeObject<"AutoGLMNode", NodeSpec, NodeStatus>;
export type AutoGLMPrompt = KubeObject<"AutoGLMPrompt", PromptSpec, never>;

/** Everything about a kind that is not its fields; the CRD is made from this and the two schemas. */
export interface KindContract {
  readonly kind: "AutoGLMTask" | "AutoGLMModel" | "AutoGLMPrompt" | "AutoGLMNode";
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
  readonly scope: "Namespaced" | "Cluster";
  readonly description: string;
  readonly spec: z.ZodType;
  /** Undefined for a kind that nobody writes a status of. */
  readonly status: z.ZodType | undefined;
  readonly rootRules: readonly CelRule[];
  readonly selectableFields: readonly string[];
  readonly printerColumns: readonly PrinterColumn[];
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly jsonPath: string;
  readonly description: string;
  /** 1: only with -o wide. */
  readonly priority?: number;
}

const age: PrinterColumn = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
  description: "Time since it was created.",
};

export const KINDS = {
  AutoGLMTask: {
    kind: "AutoGLMTask",
    plural: "autoglmtasks",
    singular: "autoglmtask",
    shortName: "agt",
    scope: "Namespaced",
    description:
      "A task: what to do, on what, with which model. The operator places it on a node that fits and keeps its results.",
    spec: taskSpecSchema,
    status: taskStatusSchema,
    rootRules: taskRootRules,
    selectableFields: [".spec.type", ".spec.model", ".status.type", ".status.node", ".status.reason"],
    printerColumns: [
      { name: "Type", type: "string", jsonPath: ".status.type", description: "Resolved task type." },
      { name: "Model", type: "string", jsonPath: ".status.model", description: "Model in use." },
      { name: "Tier", type: "string", jsonPath: ".status.tier", description: "Tier that the task asks for." },
      { name: "Node", type: "string", jsonPath: ".status.node", description: "Node that has it." },
      {
        name: "Progress",
        type: "string",
        jsonPath: ".status.progress",
        description: "Accepted items of all items.",
      },
      {
        name: "Reason",
        type: "string",
        jsonPath: ".status.reason",
        description: "The one dominant reason for its state.",
      },
      {
        name: "Variant",
        type: "string",
        jsonPath: ".status.variant",
        description: "Variant in use.",
        priority: 1,
      },
      {
        name: "Hint",
        type: "string",
        jsonPath: ".status.hint",
        description: "What would unblock it.",
        priority: 1,
      },
      age,
    ],
  },
  AutoGLMModel: {
    kind: "AutoGLMModel",
    plural: "autoglmmodels",
    singular: "autoglmmodel",
    shortName: "agm",
    scope: "Cluster",
    description: "A model, the task types that it serves and its variants, best first.",
    spec: modelSpecSchema,
    status: modelStatusSchema,
    rootRules: [],
    selectableFields: [],
    printerColumns: [
      {
        name: "Types",
        type: "string",
        jsonPath: ".spec.taskTypes",
        description: "Task types that it serves.",
      },
      {
        // A column shows the first match of its path, so a list of names is not possible.
        name: "Variant",
        type: "string",
        jsonPath: ".spec.variants[0].name",
        description: "Best variant.",
      },
      { name: "Nodes", type: "integer", jsonPath: ".status.nodesReady", description: "Nodes that hold it." },
      age,
    ],
  },
  AutoGLMPrompt: {
    kind: "AutoGLMPrompt",
    plural: "autoglmprompts",
    singular: "autoglmprompt",
    shortName: "agp",
    scope: "Namespaced",
    description: "A prompt template for a task type: how a generating model is asked.",
    spec: promptSpecSchema,
    status: undefined,
    rootRules: [],
    selectableFields: [".spec.taskType"],
    printerColumns: [
      { name: "Type", type: "string", jsonPath: ".spec.taskType", description: "Task type that it is for." },
      { name: "Language", type: "string", jsonPath: ".spec.language", description: "Language of the texts." },
      age,
    ],
  },
  AutoGLMNode: {
    kind: "AutoGLMNode",
    plural: "autoglmnodes",
    singular: "autoglmnode",
    shortName: "agn",
    scope: "Cluster",
    description: "A node of the fleet: tier, memory, link, models.",
    spec: nodeSpecSchema,
    status: nodeStatusSchema,
    rootRules: [],
    selectableFields: [".status.tier", ".status.location", ".status.pool"],
    printerColumns: [
      { name: "Tier", type: "string", jsonPath: ".status.tier", description: "GPU-memory tier." },
      {
        name: "Source",
        type: "string",
        jsonPath: ".status.tierSource",
        description: "What the tier was read from.",
      },
      { name: "Location", type: "string", jsonPath: ".status.location", description: "Edge or cloud." },
      { name: "Pool", type: "string", jsonPath: ".status.pool", description: "Node pool." },
      {
        name: "Free",
        type: "string",
        jsonPath: ".status.memory.free",
        description: "Memory that can be reserved.",
      },
      {
        name: "Capacity",
        type: "string",
        jsonPath: ".status.memory.capacity",
        description: "Memory in all.",
      },
      { name: "Link", type: "string", jsonPath: ".status.link", description: "Link state." },
      {
        name: "Version",
        type: "string",
        jsonPath: ".status.agentVersion",
        description: "Agent version.",
        priority: 1,
      },
      age,
    ],
  },
} as const satisfies Record<string, KindContract>;
export type KindName = keyof typeof KINDS;

/** The object of a kind by its name. */
export interface ObjectOfKind {
  AutoGLMTask: AutoGLMTask;
  AutoGLMModel: AutoGLMModel;
  AutoGLMPrompt: AutoGLMPrompt;
  AutoGLMNode: AutoGLMNode;
}

/** What the API server takes as the name of an object. */
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/**
 * A manifest as a user writes it, checked strictly (unknown fields refused) and with defaults filled in; for what
 * does not pass through the API server: the embedded store, the CLI's checks before it sends.
 */
export function manifestSchema<K extends KindName>(kind: K) {
  return z.strictObject({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal(kind),
    metadata: objectMetaSchema.partial().extend({ name: z.string().max(253).regex(DNS_SUBDOMAIN) }),
    spec: KINDS[kind].spec,
  });
}
