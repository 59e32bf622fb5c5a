/** The installation under test: what `make up` starts, in a folder of its own. */
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  API_VERSION,
  GROUP,
  KINDS,
  type ResultRecord,
  resultPageSchema,
  resultRecordSchema,
  type TaskStatus,
  VERSION,
} from "@autoglm/api";
import { CONFIG_MAPS, type KubeClient, type KubeObject, type Resource } from "@autoglm/kube";
import { parse } from "yaml";
import { z } from "zod";
import { listProcesses } from "../cluster/processes.ts";
import { type Installation, up } from "../up/installation.ts";
import { childrenOf } from "./proc.ts";

interface TaskObject extends KubeObject {
  readonly spec: object;
  readonly status?: TaskStatus;
}

const TASKS: Resource<TaskObject> = {
  group: GROUP,
  version: VERSION,
  plural: KINDS.AutoGLMTask.plural,
  kind: "AutoGLMTask",
  namespaced: true,
};
const NAMESPACE = "default";
const kubeconfigSchema = z.looseObject({
  users: z.array(z.looseObject({ user: z.looseObject({ token: z.string() }) })).min(1),
});

export class Site {
  readonly installation: Installation;
  readonly #resultsUrl: string;
  readonly #token: string;

  private constructor(installation: Installation, resultsUrl: string, token: string) {
    this.installation = installation;
    this.#resultsUrl = resultsUrl;
    this.#token = token;
  }

  static async start(dir: string, dataRoot: string, say: (line: string) => void): Promise<Site> {
    mkdirSync(dataRoot, { recursive: true });
    cpSync("examples/data", dataRoot, { recursive: true });
    const installation = await up({ dir, dataRoot, say });
    const endpoints = await installation.client.get(CONFIG_MAPS, {
      namespace: "autoglm-system",
      name: "autoglm-endpoints",
    });
    const kubeconfig = kubeconfigSchema.parse(parse(readFileSync(installation.kubeconfigPath, "utf8")));
    return new Site(
      installation,
      endpoints.data?.["resultsUrl"] ?? "",
      kubeconfig.users[0]?.user.token ?? "",
    );
  }

  get client(): KubeClient {
    return this.installation.client;
  }

  get kubectl(): string {
    return join(this.installation.binDir, "kubectl");
  }

  /** Of the agents and their inference processes. */
  agentPids(): readonly number[] {
    const agents = listProcesses(this.installation.dir).filter(({ name }) => name.startsWith("agent-"));
    return agents.flatMap(({ pid }) => [pid, ...childrenOf(pid)]);
  }

  manifest(name: string, spec: object): TaskObject {
    return { apiVersion: API_VERSION, kind: "AutoGLMTask", metadata: { name, namespace: NAMESPACE }, spec };
  }

  /** Uid of the new task. */
  async create(name: string, spec: object): Promise<string> {
    const { metadata } = await this.client.create(TASKS, this.manifest(name, spec));
    return metadata.uid ?? "";
  }

  async status(name: string): Promise<TaskStatus> {
    const { status } = await this.client.get(TASKS, { namespace: NAMESPACE, name });
    if (status === undefined) throw new Error(`task ${name} has no status`);
    return status;
  }

  async delete(name: string): Promise<void> {
    await this.client.delete(TASKS, { namespace: NAMESPACE, name });
  }

  /** Waits at the server for the first results. */
  async firstResults(uid: string): Promise<readonly ResultRecord[]> {
    const reply = await this.#fetch(`/results/${uid}?follow=true&limit=10`, "application/json");
    return resultPageSchema.parse(await reply.json()).results;
  }

  /** Follows the results until every item has one. */
  async allResults(uid: string): Promise<readonly ResultRecord[]> {
    const reply = await this.#fetch(`/results/${uid}?follow=true&limit=5000`, "application/x-ndjson");
    const lines = (await reply.text()).trimEnd().split("\n");
    return lines.map((line) => resultRecordSchema.parse(JSON.parse(line)));
  }

  async #fetch(path: string, accept: string): Promise<Response> {
    const reply = await fetch(`${this.#resultsUrl}${path}`, {
      headers: { authorization: `Bearer ${this.#token}`, accept },
    });
    if (!reply.ok) throw new Error(`${path}: HTTP ${reply.status} ${await reply.text()}`);
    return reply;
  }
}
