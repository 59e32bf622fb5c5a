/** The attacks of one agent, A, on another, B, and on the hub: each is refused or changes nothing that anybody uses. */
import { encodeMessage, heartbeatSchema } from "@autoglm/api";
import { headers, type NatsConnection, type Payload } from "@nats-io/transport-node";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { connectRaw, type Fleet, publish, sealChunk, startFleet, subjectsIn } from "./fleet.ts";

let fleet: Fleet;
let raw: NatsConnection;
/** What the server refused since the beginning of the test. */
let refusals: string[] = [];
let specOfB: string;

beforeAll(async () => {
  fleet = await startFleet();
  const { operator } = fleet;
  for (const node of ["node-a", "node-b"]) {
    await operator.writeDesired({ v: 1, node, generation: 0, revision: 1, assignments: [] });
  }
  specOfB = await operator.writeSpec("node-b", Buffer.from("secret of B"));
  raw = await connectRaw(fleet.nats, fleet.a);
  void (async () => {
    for await (const status of raw.status()) {
      if (status.type === "error") refusals.push(status.error.message);
    }
  })();
});
beforeEach(() => (refusals = []));
afterAll(async () => {
  await raw.close();
  await fleet.stop();
});

/** Sends and waits until the server has dealt with it. */
async function send(subject: string, body: Payload = "", reply?: string): Promise<void> {
  raw.publish(subject, body, reply === undefined ? {} : { reply });
  await raw.flush();
}
const ask = (subject: string, body: Payload = "") => raw.request(subject, body, { timeout: 500 });

describe("what an agent may do", () => {
  it("stores its results, fetches its document and specification, is poked, is heard", async () => {
    const { nats, a, operator } = fleet;
    await expect(publish(a, sealChunk(nats, a, 0))).resolves.toBe("stored");
    await expect(a.bus.fetchDesired()).resolves.toMatchObject({ node: "node-a" });
    const digest = await operator.writeSpec("node-a", Buffer.from("own"));
    expect(Buffer.from((await a.bus.fetchSpec(digest)) ?? []).toString()).toBe("own");

    let pokes = 0;
    a.bus.onPoke(() => pokes++);
    const heard: string[] = [];
    operator.onHeartbeat(({ node }) => heard.push(node));
    await a.bus.fetchDesired();
    await operator.readDesired("node-a");
    await operator.writeDesired({ v: 1, node: "node-a", generation: 0, revision: 2, assignments: [] });
    await expect.poll(() => pokes).toBe(1);
    a.bus.publishHeartbeat(heartbeatOf("node-a"));
    await expect.poll(() => heard).toEqual(["node-a"]);
  });
});

describe("what an agent may not do", () => {
  it.each([
    ["publish results as B", "res.node-b.task-1.0.1.0.7"],
    ["publish a heartbeat as B", "hb.node-b"],
    ["write B's document", "desired.node-b"],
    ["poke B", "live.desired.node-b"],
    ["write a ledger", "ledger.task-1"],
    ["have results forgotten", "ingest.forget"],
    ["fetch B's document", "HUB.GET.desired.node-b"],
    ["fetch every document", "HUB.GET.desired.*"],
    ["fetch under the hub's own name", "$JS.API.DIRECT.GET.DESIRED.desired.node-b"],
    ["read a stream by sequence", "$JS.API.STREAM.MSG.GET.RESULTS"],
    ["create a consumer", "$JS.API.CONSUMER.CREATE.RESULTS.evil"],
    ["purge the results", "$JS.API.STREAM.PURGE.RESULTS"],
    ["delete a stream", "$JS.API.STREAM.DELETE.RESULTS"],
    ["replace account claims", "$SYS.REQ.CLAIMS.UPDATE"],
  ])("%s", async (_what, subject) => {
    const before = await stored();
    await expect(ask(subject)).rejects.toThrow();
    expect(refusals).toEqual([expect.stringContaining("Permissions Violation for Publish")]);
    expect(await stored()).toEqual(before);
  });

  it("fetch B's specification", async () => {
    await expect(ask(`HUB.GET.spec.node-b.${specOfB}`)).rejects.toThrow();
    expect(refusals).toEqual([expect.stringContaining("Permissions Violation for Publish")]);
  });

  it.each(["live.desired.node-b", "live.desired.*", "_INBOX_node-b.>", "_INBOX.>", "res.>", "hb.*", ">"])(
    "subscribe %s",
    async (subject) => {
      const subscription = raw.subscribe(subject, { callback: () => undefined });
      await raw.flush();
      await expect.poll(() => subscription.isClosed()).toBe(true);
      expect(refusals).toEqual([expect.stringContaining("Permissions Violation for Subscription")]);
    },
  );

  it("get B's document by what it writes into the request for its own", async () => {
    const body = JSON.stringify({ last_by_subj: "desired.node-b", seq: 2, multi_last: ["desired.node-b"] });
    const answer = await ask("HUB.GET.desired.node-a", body);
    expect(answer.string()).not.toContain("node-b");
  });

  it("roll up, and so empty, the stream with a header", async () => {
    const before = await stored();
    const rollup = headers();
    rollup.set("Nats-Rollup", "all");
    const answer = await raw.request("res.node-a.task-1.0.1.0.90", "x", { timeout: 500, headers: rollup });
    expect(answer.json()).toMatchObject({ error: { description: "rollup not permitted" } });
    expect(await stored()).toEqual(before);
  });
});

describe("an agent that names another's subject as the reply of its own request", () => {
  const targets = [
    "res.node-b.task-1.0.1.0.9",
    "desired.node-b",
    "spec.node-b.0",
    "ledger.task-1",
    "ingest.forget",
    "$JS.API.STREAM.PURGE.RESULTS",
    "$JS.API.STREAM.DELETE.DESIRED",
    "$JS.API.CONSUMER.CREATE.RESULTS.evil",
  ];
  it.each(targets)("occupies and triggers nothing under %s", async (target) => {
    const before = await stored();
    const documentOfB = await fleet.operator.readDesired("node-b");
    const own = `res.node-a.injection-${targets.indexOf(target)}.0.1.0`;
    await send(`${own}.0`, "x", target);
    await send("HUB.GET.desired.node-a", "", target);
    // A request after them on the same connection is answered after them.
    await ask(`${own}.1`, "x");

    const added = (await stored()).filter((subject) => !before.includes(subject));
    expect(added).toEqual([`RESULTS ${own}.0`, `RESULTS ${own}.1`]);
    expect(await fleet.operator.readDesired("node-b")).toEqual(documentOfB);
    const info = await fleet.eye.streams.info("RESULTS");
    expect(info.state.consumer_count).toBe(0);
  });

  it("would occupy it from inside the account of the streams", async () => {
    const { eye, eyeConnection } = fleet;
    eyeConnection.publish("res.node-a.control.0.1.0.0", "x", { reply: "res.node-b.control.0.1.0.0" });
    await expect.poll(() => subjectsIn(eye, "RESULTS")).toContain("res.node-b.control.0.1.0.0");
  });

  it("leaves B's subject free for B's own result", async () => {
    const { nats, b } = fleet;
    await send("res.node-a.injection-last.0.1.0.0", "x", "res.node-b.task-1.0.1.0.5");
    await raw.flush();
    await expect(publish(b, sealChunk(nats, b, 5))).resolves.toBe("stored");
  });

  it("can't have a user's input, which lies in its own specification, delivered as B's heartbeat", async () => {
    const { operator, operatorConnection } = fleet;
    const forged = encodeMessage(heartbeatSchema, heartbeatOf("node-b"));
    const digest = await operator.writeSpec("node-a", forged);
    const heard: string[] = [];
    operatorConnection.subscribe("hb.*", ({ subject }) => heard.push(subject));
    await operator.readDesired("node-a");
    await send(`HUB.GET.spec.node-a.${digest}`, "", "hb.node-b");
    await ask("HUB.GET.desired.node-a");
    await send("hb.node-a");
    await expect.poll(() => heard).toEqual(["hb.node-a"]);
  });

  it("can at most poke B, which then fetches its own document", async () => {
    const { b } = fleet;
    const documents: unknown[] = [];
    b.bus.onPoke(() => void b.bus.fetchDesired().then((document) => documents.push(document)));
    await b.bus.fetchDesired();
    await send("HUB.GET.desired.node-a", "", "live.desired.node-b");
    await expect.poll(() => documents).toEqual([expect.objectContaining({ node: "node-b" })]);
  });
});

it("drops a heartbeat that names another node than the one that sent it", async () => {
  const { operator, b } = fleet;
  const heard: string[] = [];
  operator.onHeartbeat(({ node }) => heard.push(node));
  await operator.readDesired("node-a");
  raw.publish("hb.node-a", encodeMessage(heartbeatSchema, heartbeatOf("node-b")));
  await raw.flush();
  b.bus.publishHeartbeat({ ...heartbeatOf("node-b"), nodeName: "real" });
  await expect.poll(() => heard).toEqual(["node-b"]);
});

it("hears little of a node that floods, and the newest in the end", async () => {
  const { operator } = fleet;
  const heard: string[] = [];
  operator.onHeartbeat(({ agentVersion }) => heard.push(agentVersion));
  await operator.readDesired("node-a");
  for (let sent = 0; sent <= 500; sent++) {
    const agentVersion = String(sent);
    raw.publish("hb.node-a", encodeMessage(heartbeatSchema, { ...heartbeatOf("node-a"), agentVersion }));
  }
  await expect.poll(() => heard.at(-1), { timeout: 5_000 }).toBe("500");
  expect(heard.length).toBeLessThan(100);
});

async function stored(): Promise<readonly string[]> {
  const streams = ["DESIRED", "SPECS", "RESULTS", "LEDGER"];
  const subjects = await Promise.all(
    streams.map(async (stream) =>
      (await subjectsIn(fleet.eye, stream)).map((subject) => `${stream} ${subject}`),
    ),
  );
  return subjects.flat();
}

function heartbeatOf(node: string) {
  return {
    v: 1 as const,
    node,
    nodeName: node,
    agentVersion: "0",
    stateId: "s",
    startedAt: "2026-01-01T00:00:00Z",
    sentAt: "2026-01-01T00:00:00Z",
    memory: { kind: "ram" as const, totalBytes: 0, usedByOthersBytes: 0, usedByUsBytes: 0 },
    document: { generation: 0, revision: 0 },
    outbox: { chunks: 0, bytes: 0, limitBytes: 0, full: false },
    models: [],
    assignments: [],
    draining: false,
  };
}
