/** What users get wrong: refused where that can be seen, else one clear condition or error, and everything else goes on. */
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TaskSpecInput } from "@autoglm/api";
import { modelBlobsDir, readManifests } from "../../hack/local/manifests.ts";
import {
  conditionOf,
  configMap,
  expectEveryItemOnce,
  taskManifest,
  TestInstallation,
} from "../support/installation.ts";

const SENTIMENT = { type: "sentiment-analysis" } as const;
const inline = { inline: ["今天很开心"] };

let site: TestInstallation;

beforeAll(async () => {
  site = await TestInstallation.start();
});
afterAll(() => site.stop());

describe("kubectl apply refuses, and names the field", () => {
  it.each([
    ["an unknown type", { type: "translation", input: inline }, "spec.type"],
    ["two inputs", { type: "ner", input: { ...inline, file: "reviews.csv" } }, "spec.input"],
    ["no input", { type: "ner" }, "spec.input"],
    ["a priority in words", { type: "ner", input: inline, priority: "high" }, "spec.priority"],
    ["a priority out of range", { type: "ner", input: inline, priority: 5000 }, "spec.priority"],
    ["an unknown field", { type: "ner", input: inline, prioritty: 1 }, "spec.prioritty"],
    [
      "an unknown field further down",
      { type: "ner", input: inline, placement: { teir: "4Gi" } },
      "spec.placement.teir",
    ],
    ["auto on a file", { type: "auto", input: { file: "reviews.csv" } }, "spec.type"],
    ["a path upwards", { type: "ner", input: { file: "../../etc/passwd" } }, "spec.input.file"],
    ["1,001 inline items", { type: "ner", input: { inline: Array(1001).fill("x") } }, "spec.input.inline"],
  ])("%s", async (_, spec, field) => {
    const manifest = JSON.stringify(taskManifest("wrong", spec));
    const { exitCode, stderr } = await site.run(
      "kubectl",
      ["apply", "--validate=strict", "-f", "-"],
      manifest,
    );
    expect(exitCode).toBe(1);
    expect(stderr).toContain(field);
    expect(await site.kubectl("get", "agt", "wrong", "--ignore-not-found")).toBe("");
  });

  it("a change of what defines the work", async () => {
    await site.createTask("fixed", { ...SENTIMENT, input: inline });
    const patch = [
      "patch",
      "agt",
      "fixed",
      "--type",
      "merge",
      "-p",
      '{"spec":{"input":{"inline":["今天很难过"]}}}',
    ];
    const { exitCode, stderr } = await site.run("kubectl", patch);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("input defines the work and can't change");
  });
});

describe("a document that can't be worked on fails its task alone, with how to mend it", () => {
  it.each<{
    what: string;
    name: string;
    content?: string | Uint8Array;
    spec?: Partial<TaskSpecInput>;
    reason: string;
    says: string;
  }>([
    { what: "missing", name: "no-such-file.csv", reason: "InputFileNotFound", says: "no-such-file.csv" },
    { what: "empty", name: "empty.txt", content: "", reason: "InputEmpty", says: "no items" },
    {
      what: "only blank lines",
      name: "blank.txt",
      content: "\n \n\r\n",
      reason: "InputEmpty",
      says: "no items",
    },
    {
      what: "binary",
      name: "binary.bin",
      content: randomBytes(100_000),
      reason: "InputFormatNotRecognised",
      says: "not text",
    },
    {
      what: "a csv without the field",
      name: "other.csv",
      content: "id,text\n1,好\n",
      spec: { inputField: "review" },
      reason: "InputFieldNotFound",
      says: "text",
    },
  ])("$what", async ({ name: file, content, spec = {}, reason, says }) => {
    if (content !== undefined) site.writeData(file, content);
    const name = `bad-${file.replaceAll(".", "-")}`;
    await site.createTask(name, { ...SENTIMENT, ...spec, input: { file } });
    const failed = await site.ended(name);
    expect(failed.status).toMatchObject({ reason, message: expect.stringContaining(says) });
    expect(conditionOf(failed, "Failed")).toBe("True");
    expect(conditionOf(failed, "Complete")).toBe("False");
    expect((await site.autoglm("why", name)).toLowerCase()).toContain(reason.toLowerCase());
  });

  it("a link out of the data root", async () => {
    symlinkSync("/etc/hostname", join(site.dataRoot, "escape.txt"));
    await site.createTask("escape", { ...SENTIMENT, input: { file: "escape.txt" } });
    expect((await site.ended("escape")).status?.reason).toBe("InputFileOutsideDataRoot");
    expect(await site.printedResults("escape")).toEqual([]);
  });

  it("a ConfigMap that is missing is waited for", async () => {
    await site.createTask("too-early", { ...SENTIMENT, input: { configMapRef: { name: "later" } } });
    const waiting = await site.taskWhen("too-early", ({ status }) => status?.reason === "ConfigMapNotFound");
    expect(waiting.status?.message).toContain("later");
    await site.apply(configMap("later", { text: "很好\n很差\n" }));
    expect((await site.completed("too-early")).status?.progress).toBe("2/2");
  });
});

describe("a bad item fails alone", () => {
  it("broken lines of jsonl", async () => {
    const lines = [
      '{"text": "非常好"}',
      '{"text": "非常',
      "[]",
      '{"other": "x"}',
      '{"text": 7}',
      '{"text": "非常差"}',
    ];
    site.writeData("broken.jsonl", `${lines.join("\n")}\n`);
    await site.createTask("broken", { ...SENTIMENT, input: { file: "broken.jsonl" } });
    const { status } = await site.completed("broken");
    expect(status?.items).toEqual({ total: lines.length, accepted: lines.length, failed: 4 });
    const results = await site.printedResults("broken");
    expectEveryItemOnce(results, lines.length);
    expect(results.map(({ output }) => output?.[0]?.["label"])).toEqual([
      "positive",
      undefined,
      undefined,
      undefined,
      undefined,
      "negative",
    ]);
    for (const { error } of results.slice(1, 5)) expect(error).toMatchObject({ code: "ItemInvalid" });
  });

  it("an item longer than the model's context", async () => {
    await site.createTask("too-long", {
      type: "text-generation",
      input: { inline: ["中文".repeat(2000), "Say hello."] },
      parameters: { maxNewTokens: 4 },
      placement: { strategy: "CloudOnly" },
    });
    await site.completed("too-long");
    const results = await site.printedResults("too-long");
    expect(results.map(({ error }) => error?.code)).toEqual(["ItemTooLong", undefined]);
  });
});

describe("odd but good input is worked on whole", () => {
  it.each([
    ["one item", Array.of("很好")],
    [
      "1,000 items",
      Array.from({ length: 1000 }, (_, item) => `第${item}个，${item % 2 === 0 ? "非常满意" : "太差了"}`),
    ],
    ["an empty text and one of blanks", ["", "   ", "很好"]],
  ])("inline: %s", async (what, texts) => {
    const name = `inline-${what.replaceAll(/[^a-z0-9]+/g, "-")}`;
    await site.createTask(name, { ...SENTIMENT, input: { inline: [...texts] } });
    await site.completed(name);
    const results = await site.printedResults(name);
    expectEveryItemOnce(results, texts.length);
    expect(
      results
        .at(-1)
        ?.output?.map(({ label }) => label)
        .sort(),
    ).toEqual(["negative", "positive"]);
  });

  it("csv in GB18030, as Chinese spreadsheets write it", async () => {
    // 编号,评论 / 1,非常满意 / 2,太差了
    const rows = [
      [0xb1, 0xe0, 0xba, 0xc5, 0x2c, 0xc6, 0xc0, 0xc2, 0xdb],
      [0x31, 0x2c, 0xb7, 0xc7, 0xb3, 0xa3, 0xc2, 0xfa, 0xd2, 0xe2],
      [0x32, 0x2c, 0xcc, 0xab, 0xb2, 0xee, 0xc1, 0xcb],
    ];
    site.writeData("gb18030.csv", Uint8Array.from(rows.flatMap((row) => [...row, 0x0d, 0x0a])));
    await site.createTask("gb18030", { ...SENTIMENT, input: { file: "gb18030.csv" }, inputField: "评论" });
    await site.completed("gb18030");
    const results = await site.printedResults("gb18030");
    expect(results.map(({ output }) => output?.[0]?.["label"])).toEqual(["positive", "negative"]);
  });

  it("a file of 20,000 lines", async () => {
    const count = 20_000;
    const lines = Array.from(
      { length: count },
      (_, item) => `${item}：${item % 3 === 0 ? "太差了，不会再来" : "非常满意，推荐"}`,
    );
    site.writeData("many.txt", lines.join("\n"));
    const uid = await site.createTask("many", {
      ...SENTIMENT,
      input: { file: "many.txt" },
      parameters: { topK: 1 },
    });
    await site.completed("many");
    const printed = await site.printedResults("many");
    expectEveryItemOnce(printed, count);
    const negative = printed.filter(({ output }) => output?.[0]?.["label"] === "negative");
    expect(negative.every(({ item }) => item % 3 === 0)).toBe(true);
    expect(negative.length).toBe(Math.ceil(count / 3));
    expect(await site.ledger(uid)).toMatchObject({
      accepted: count,
      failed: 0,
      total: count,
      duplicatesDropped: 0,
    });
  });
});

describe("a corrupt model", () => {
  let source: Server;
  let sourceUrl: string;
  /** What the source gives under each path. */
  const files = new Map<string, Uint8Array>();

  beforeAll(async () => {
    source = createServer((request, reply) => reply.end(files.get(request.url ?? "")));
    source.listen(0, "127.0.0.1");
    await once(source, "listening");
    const address = source.address();
    if (address === null || typeof address === "string") throw new Error("no TCP address");
    sourceUrl = `http://127.0.0.1:${address.port}`;
  });
  afterAll(() => source.close());

  it("with another sha256 than stated is never loaded; its tasks fail, go on once it is mended, and disturb nobody", async () => {
    const good = catalogueFiles("zh-sentiment");
    for (const { path, bytes } of good) files.set(`/${path}`, bytes);
    const wrong = createHash("sha256").update("something else").digest("hex");
    await site.apply(
      model("mistyped", (path) => ({
        uri: `${sourceUrl}/${path}`,
        ...(path === "model.onnx" && { sha256: wrong }),
      })),
    );
    await site.createTask("on-mistyped", { ...SENTIMENT, model: "mistyped", input: inline });
    await site.createTask("beside", { ...SENTIMENT, model: "zh-sentiment", input: inline });
    const failed = await site.ended("on-mistyped");
    expect(failed.status).toMatchObject({
      reason: "ModelDigestMismatch",
      message: expect.stringContaining(wrong),
    });
    await site.completed("beside");

    await site.apply(model("mistyped", (path) => ({ uri: `${sourceUrl}/${path}` })));
    expect(
      (await site.taskWhen("on-mistyped", ({ status }) => status?.reason === "Completed")).status?.progress,
    ).toBe("1/1");
  });

  it("whose source gives damaged bytes is taken from the installation's own file server", async () => {
    for (const { path, bytes } of catalogueFiles("zh-ner")) {
      const damaged = Buffer.from(bytes);
      damaged[1000] = (damaged[1000] ?? 0) ^ 0xff;
      files.set(`/damaged/${path}`, damaged);
    }
    await site.apply(model("damaged-source", (path) => ({ uri: `${sourceUrl}/damaged/${path}` }), "zh-ner"));
    await site.createTask("on-damaged-source", {
      type: "ner",
      model: "damaged-source",
      input: { inline: ["马云在杭州"] },
    });
    expect((await site.completed("on-damaged-source")).status?.progress).toBe("1/1");
  });

  it("that is no ONNX at all says so, and is tried again elsewhere", async () => {
    const junk = randomBytes(4096);
    files.set("/junk", junk);
    const sha256 = createHash("sha256").update(junk).digest("hex");
    await site.apply(
      model("junk", (path) =>
        path === "model.onnx" ? { uri: `${sourceUrl}/junk`, sha256, sizeBytes: junk.length } : {},
      ),
    );
    await site.createTask("on-junk", { ...SENTIMENT, model: "junk", input: inline });
    await site.createTask("beside-junk", { ...SENTIMENT, model: "zh-sentiment", input: inline });
    await site.completed("beside-junk");
    const stuck = await site.taskWhen("on-junk", ({ status }) => status?.reason === "ModelLoadFailed");
    expect(conditionOf(stuck, "Ready")).toBe("False");
    // The offer of another node is a higher epoch.
    await site.taskWhen("on-junk", ({ status }) => (status?.placements?.[0]?.epoch ?? 0) > 1);
    await site.kubectl("delete", "agt", "on-junk", "--timeout=60s");
  });

  interface ModelFile {
    readonly path: string;
    readonly sha256: string;
    readonly sizeBytes: number;
  }

  /** The catalogue's model under another name, with some files otherwise. */
  function model(name: string, change: (path: string) => object, like = "zh-sentiment"): object {
    const { spec, ...rest } = catalogueModel(like);
    const [variant] = spec.variants;
    const changed = (variant?.files ?? []).map((file) => ({ ...file, ...change(file.path) }));
    return { ...rest, metadata: { name }, spec: { ...spec, variants: [{ ...variant, files: changed }] } };
  }

  function catalogueModel(name: string) {
    const found = readManifests("models/catalogue.yaml").find(({ metadata }) => metadata.name === name);
    if (found === undefined) throw new Error(`${name} is not in the catalogue`);
    // Our own file.
    return found as typeof found & {
      readonly spec: { readonly variants: readonly { readonly files: readonly ModelFile[] }[] };
    };
  }

  function catalogueFiles(name: string): readonly { readonly path: string; readonly bytes: Buffer }[] {
    const [variant] = catalogueModel(name).spec.variants;
    return (variant?.files ?? []).map(({ path, sha256 }) => ({
      path,
      bytes: readFileSync(join(modelBlobsDir(), "sha256", sha256)),
    }));
  }
});
