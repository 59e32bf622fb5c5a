/** A small kind to test with: one number in spec, conditions in status, and a status field that has a default. */
import type { Condition, CustomResourceDefinition, KubeObject, Resource } from "@autoglm/kube";

export interface Widget extends KubeObject {
  readonly spec: { readonly size: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
    readonly phase?: string;
    readonly defaulted?: string;
  };
}

export const WIDGETS: Resource<Widget> = {
  group: "test.autoglm.io",
  version: "v1",
  plural: "widgets",
  kind: "Widget",
  namespaced: true,
};

export function widget(namespace: string, name: string, size = 1): Widget {
  return {
    apiVersion: "test.autoglm.io/v1",
    kind: "Widget",
    metadata: { name, namespace },
    spec: { size },
  };
}

const text = { type: "string", maxLength: 1024 };
const condition = {
  type: "object",
  required: ["type", "status", "reason", "message", "lastTransitionTime"],
  properties: {
    type: text,
    status: { type: "string", enum: ["True", "False", "Unknown"] },
    reason: text,
    message: text,
    lastTransitionTime: { type: "string", format: "date-time" },
    observedGeneration: { type: "integer", format: "int64" },
  },
};
const schema = {
  type: "object",
  required: ["spec"],
  properties: {
    spec: {
      type: "object",
      required: ["size"],
      properties: { size: { type: "integer", minimum: 1, maximum: 1_000_000 } },
    },
    status: {
      type: "object",
      properties: {
        observedGeneration: { type: "integer", format: "int64" },
        phase: text,
        defaulted: { ...text, default: "by the server" },
        conditions: {
          type: "array",
          items: condition,
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["type"],
        },
      },
    },
  },
};

export const WIDGET_CRD: CustomResourceDefinition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.test.autoglm.io" },
  spec: {
    group: "test.autoglm.io",
    scope: "Namespaced",
    names: { plural: "widgets", kind: "Widget" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: { openAPIV3Schema: schema },
      },
    ],
  },
};
