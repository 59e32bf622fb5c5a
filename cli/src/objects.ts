import {
  GROUP,
  KINDS,
  type KindName,
  type ModelSpec,
  type NodeSpec,
  type TaskSpec,
  type TaskStatus,
  VERSION,
} from "@autoglm/api";
import type { KubeObject, Resource } from "@autoglm/kube";

/** Our kinds as the API server gives them. */
export interface TaskObject extends KubeObject {
  readonly spec: TaskSpec;
  readonly status?: TaskStatus;
}
export interface ModelObject extends KubeObject {
  readonly spec: ModelSpec;
}
export interface NodeObject extends KubeObject {
  readonly spec: NodeSpec;
}

function resourceOf<T extends KubeObject>(kind: KindName): Resource<T> {
  const { plural, scope } = KINDS[kind];
  return { group: GROUP, version: VERSION, plural, kind, namespaced: scope === "Namespaced" };
}
export const TASKS = resourceOf<TaskObject>("AutoGLMTask");
export const MODELS = resourceOf<ModelObject>("AutoGLMModel");
export const PROMPTS = resourceOf<KubeObject>("AutoGLMPrompt");
export const FLEET_NODES = resourceOf<NodeObject>("AutoGLMNode");
