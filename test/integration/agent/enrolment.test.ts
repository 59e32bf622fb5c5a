import { startAgent, type RunningAgent } from "@autoglm/edge-agent";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { FakeEngine } from "./fake-engine.ts";
import { Site } from "./site.ts";

let site: Site;
const agents: RunningAgent[] = [];

beforeAll(async () => {
  site = await Site.start();
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop().catch(() => undefined);
  site.intercept = undefined;
  site.credentialSeconds = 3600;
  site.requests.length = 0;
});
afterAll(async () => {
  await site.stop();
});

async function start(variables: Readonly<Record<string, string>>): Promise<RunningAgent> {
  const agent = await startAgent(await site.options(variables), { createEngine: () => new FakeEngine() });
  agents.push(agent);
  return agent;
}

async function untilHeartbeat(): Promise<void> {
  const since = site.heartbeats.length;
  await site.until("a heartbeat", () => site.heartbeats.length > since);
}

test("ends with EnrolmentRefused and the operator's words when its token is refused", async () => {
  const agent = await start({ AUTOGLM_ENROL_TOKEN: "a-token-that-nobody-gave" });
  await expect(agent.stopped).rejects.toMatchObject({
    code: "EnrolmentRefused",
    message: expect.stringContaining("the token is not valid"),
  });
});

test("without a token it says which variable is missing", async () => {
  const agent = await start({ AUTOGLM_ENROL_TOKEN: "" });
  await expect(agent.stopped).rejects.toMatchObject({
    code: "InvalidOption",
    message: expect.stringContaining("AUTOGLM_ENROL_TOKEN"),
  });
});

test("waits for an operator that is not there yet, and is not ready so long", async () => {
  let failures = 0;
  site.intercept = (_, response) => {
    failures++;
    if (failures > 1) return false;
    response.writeHead(503).end();
    return true;
  };
  const agent = await start({});
  await site.until("asked once", () => failures === 1);
  const ready = await fetch(`http://127.0.0.1:${agent.healthPort}/readyz`);
  expect([ready.status, await ready.text()]).toEqual([503, "not enrolled yet"]);
  await untilHeartbeat();
  expect((await fetch(`http://127.0.0.1:${agent.healthPort}/readyz`)).status).toBe(200);
});

test("enrols once: after a restart it works from the stored reply", async () => {
  const variables = await site.variables();
  await start(variables);
  await untilHeartbeat();
  await agents.pop()?.stop();
  await start({ ...variables, AUTOGLM_ENROL_URL: "", AUTOGLM_ENROL_TOKEN: "" });
  await untilHeartbeat();
  expect(site.requests.filter((request) => request === "POST /enrol")).toHaveLength(1);
  const ids = new Set(site.heartbeats.slice(-2).map(({ stateId }) => stateId));
  expect(ids.size).toBe(1);
});

test("renews its credentials in time and outlives the first ones", async () => {
  site.credentialSeconds = 3;
  await start({});
  await untilHeartbeat();
  await site.until("renewed", () => site.requests.includes("POST /renew"), 10);
  site.credentialSeconds = 3600;
  await site.until(
    "renewed for long",
    () => site.requests.filter((request) => request === "POST /renew").length > 1,
    10,
  );
  const since = Date.now() + 5000;
  await site.until("heartbeats after the first credentials ended", () => {
    return Date.parse(site.heartbeats.at(-1)?.sentAt ?? "") > since;
  });
  expect(site.requests.filter((request) => request === "POST /enrol")).toHaveLength(1);
});
