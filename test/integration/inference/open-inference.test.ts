import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { input, startFront, type TestFront } from "./front.ts";

let front: TestFront;
beforeAll(async () => {
  front = await startFront();
});
afterAll(() => front[Symbol.asyncDispose]());

const rows = "/v2/models/tensor-rows/infer";
const lengths = "/v2/models/tensor-lengths/infer";
const types = "/v2/models/tensor-types/infer";
const x = (...data: number[]) => ({ inputs: [input("x", "FP32", [data.length / 4, 4], data)] });
const ids = (...data: number[]) => ({
  inputs: [
    input("ids", "INT64", [1, data.length], data),
    input(
      "mask",
      "INT64",
      [1, data.length],
      data.map(() => 1),
    ),
  ],
});

describe("metadata", () => {
  test("says what the server, its models and their variants are", async () => {
    expect((await front.ask("/v2")).body).toMatchObject({ name: "autoglm-edge-agent" });
    expect((await front.ask("/v2/health/live")).status).toBe(200);
    expect((await front.ask("/v2/health/ready")).body).toEqual({ ready: true });
    expect((await front.ask("/v2/models/tensor-rows")).body).toEqual({
      name: "tensor-rows",
      versions: ["default"],
      platform: "onnxruntime_onnx",
      inputs: [{ name: "x", datatype: "FP32", shape: [-1, 4] }],
      outputs: [{ name: "y", datatype: "FP32", shape: [-1, 2] }],
    });
    expect((await front.ask("/v2/models/tensor-rows/versions/default/ready")).body).toMatchObject({
      ready: true,
    });
    const { body } = await front.ask("/v2/repository/index", {});
    expect(body).toContainEqual({ name: "tensor-rows", version: "default", state: "READY", reason: "" });
  });

  test("names the models that there are for one that there is not", async () => {
    const { status, body } = await front.ask("/v2/models/none/infer", x(1, 2, 3, 4));
    expect(status).toBe(404);
    expect(body.error).toContain("none");
    expect(body.error).toContain("tensor-rows");
  });
});

describe("a run of several requests", () => {
  test("gives each what it gets alone", async () => {
    const data = Array.from({ length: 40 }, (_, row) => [row / 7, -row / 3, Math.sin(row), 1]);
    const alone: number[][] = [];
    for (const row of data) alone.push((await front.ask(rows, x(...row))).body.outputs[0].data);
    const together = await Promise.all(data.map((row) => front.ask(rows, x(...row))));
    for (const [row, { status, body }] of together.entries()) {
      expect(status).toBe(200);
      expect(body.outputs[0].shape).toEqual([1, 2]);
      for (const [index, value] of body.outputs[0].data.entries())
        expect(value).toBeCloseTo(alone[row]?.[index] ?? 0, 5);
    }
  });

  test("keeps requests of several rows apart", async () => {
    const [one, three, two] = await Promise.all([
      front.ask(rows, x(1, 2, 3, 4)),
      front.ask(rows, x(1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4)),
      front.ask(rows, x(5, 6, 7, 8, 1, 2, 3, 4)),
    ]);
    const [a, b] = [one.body.outputs[0].data, two.body.outputs[0].data.slice(0, 2)];
    expect(three.body.outputs[0].shape).toEqual([3, 2]);
    expect(three.body.outputs[0].data).toEqual([...a, ...b, ...a]);
  });

  test("fills up what is shorter, and cuts it out again", async () => {
    const sizes = Array.from({ length: 30 }, (_, index) => 1 + ((index * 7) % 20));
    const bodies = sizes.map((size) => ids(...Array.from({ length: size }, (_, at) => (at * size) % 9)));
    const alone = [];
    for (const body of bodies) alone.push((await front.ask(lengths, body)).body.outputs);
    const together = await Promise.all(bodies.map((body) => front.ask(lengths, body)));
    for (const [index, { body }] of together.entries()) {
      const [hidden, mean] = body.outputs;
      expect(hidden.shape).toEqual([1, sizes[index], 3]);
      expect(hidden.data).toEqual(alone[index]?.[0].data);
      expect(mean.shape).toEqual([1, 3]);
      for (const [at, value] of mean.data.entries()) expect(value).toBeCloseTo(alone[index]?.[1].data[at], 5);
    }
  });
});

describe("datatypes", () => {
  const values: readonly [datatype: string, data: readonly unknown[]][] = [
    ["BOOL", [true, false, true]],
    ["UINT8", [0, 128, 255]],
    ["INT8", [-128, 0, 127]],
    ["INT16", [-32_768, 0, 32_767]],
    ["UINT16", [0, 1, 65_535]],
    ["INT32", [-2_147_483_648, 0, 2_147_483_647]],
    ["UINT32", [0, 1, 4_294_967_295]],
    ["INT64", [-9_007_199_254_740_991, -1, 9_007_199_254_740_991]],
    ["UINT64", [0, 4_294_967_296, 9_007_199_254_740_991]],
    ["FP16", [-1.5, 0, 65_504]],
    ["FP32", [-1.5, 0.10000000149011612, 16_777_216]],
    ["FP64", [-1.5, 0.1, 1e300]],
  ];
  const inputs = values.map(([datatype, data]) => input(`in_${datatype}`, datatype, [3], data));

  test("come back as they were sent, in JSON", async () => {
    const { status, body } = await front.ask(types, { inputs });
    expect(status).toBe(200);
    for (const [index, [datatype, data]] of values.entries()) {
      const output = body.outputs[index];
      expect(output).toMatchObject({ name: `out_${datatype}`, datatype, shape: [3] });
      expect(output.data.map((value: number) => (datatype === "FP32" ? Math.fround(value) : value))).toEqual(
        data,
      );
    }
  });

  test("come back as bytes where that is asked for", async () => {
    const { body } = await front.ask(types, { inputs });
    const response = await fetch(front.url + types, {
      method: "POST",
      body: JSON.stringify({ inputs, parameters: { binary_data_output: true } }),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const headerLength = Number(response.headers.get("inference-header-content-length"));
    const head = JSON.parse(bytes.subarray(0, headerLength).toString());
    let at = headerLength;
    for (const output of head.outputs) {
      const size = output.parameters.binary_data_size;
      const part = bytes.subarray(at, (at += size));
      if (output.datatype === "FP32") expect(part.readFloatLE(4)).toBe(Math.fround(0.1));
      if (output.datatype === "INT64") expect(part.readBigInt64LE(8)).toBe(-1n);
    }
    expect(at).toBe(bytes.length);
    expect(body.outputs.length).toBe(head.outputs.length);
  });

  test("a number that a datatype has not is refused", async () => {
    for (const [datatype, value] of [
      ["UINT8", 256],
      ["INT8", -129],
      ["INT32", 1.5],
      ["UINT64", -1],
      ["BOOL", 2],
    ] as const) {
      const wrong = inputs.map((each) =>
        each.datatype === datatype ? { ...each, data: [0, value, 0] } : each,
      );
      const { status, body } = await front.ask(types, { inputs: wrong });
      expect(status).toBe(400);
      expect(body.error).toContain(`in_${datatype}`);
      expect(body.error).toContain("data[1]");
    }
  });
});

test("tensors may follow the JSON as bytes", async () => {
  const data = Float32Array.from([1, 2, 3, 4, -1, -2, -3, -4]);
  const head = Buffer.from(
    JSON.stringify({
      inputs: [{ name: "x", datatype: "FP32", shape: [2, 4], parameters: { binary_data_size: 32 } }],
    }),
  );
  const send = (bytes: Uint8Array, length = head.length) =>
    fetch(front.url + rows, {
      method: "POST",
      body: Buffer.concat([head, bytes]),
      headers: { "inference-header-content-length": String(length) },
    });
  const binary = await (await send(new Uint8Array(data.buffer))).json();
  const plain = await front.ask(rows, x(...data));
  expect(binary).toEqual(plain.body);
  for (const [bytes, length] of [
    [new Uint8Array(31), head.length],
    [new Uint8Array(33), head.length],
    [new Uint8Array(32), 100_000],
  ] as const) {
    const refused = await send(bytes, length);
    expect(refused.status).toBe(400);
    expect(await refused.json()).toHaveProperty("error");
  }
});

describe("what is wrong with a request is said", () => {
  const good = x(1, 2, 3, 4).inputs[0];
  test.each<[what: string, body: unknown, says: readonly string[]]>([
    ["no JSON", "{", ["no JSON"]],
    ["no inputs", {}, ["inputs"]],
    ["a missing input", { inputs: [{ ...good, name: "z" }] }, ['"x"', "FP32", "[-1,4]"]],
    ["an input too many", { inputs: [good, { ...good, name: "z" }] }, ['"z"']],
    ["a datatype", { inputs: [{ ...good, datatype: "INT64" }] }, ['"x"', "FP32", "INT64"]],
    ["a rank", { inputs: [{ ...good, shape: [4] }] }, ['"x"', "[-1,4]", "[4]"]],
    ["a size", { inputs: [{ ...good, shape: [2, 2] }] }, ['"x"', "[-1,4]", "[2,2]"]],
    ["too few elements", { inputs: [{ ...good, data: [1, 2] }] }, ['"x"', "4", "2"]],
    ["texts for numbers", { inputs: [{ ...good, data: ["1", 2, 3, 4] }] }, ['"x"', "data[0]", "FP32"]],
    ["no list", { inputs: [{ ...good, data: 5 }] }, ['"x"', "list"]],
    ["a huge shape", { inputs: [{ ...good, shape: [1e9, 1e9] }] }, ["shape"]],
    ["too many rows", { inputs: [input("x", "FP32", [65, 4], Array(260).fill(0))] }, ["65", "64"]],
    ["an output", { inputs: [good], outputs: [{ name: "q" }] }, ['"q"', "y"]],
    ["a priority", { inputs: [good], parameters: { priority: -1 } }, ["priority"]],
  ])("%s", async (_what, body, says) => {
    const { status, body: answer } = await front.ask(rows, body);
    expect(status).toBe(400);
    for (const words of says) expect(answer.error).toContain(words);
  });

  test("lengths that differ between inputs", async () => {
    const [first, second] = ids(1, 2, 3).inputs;
    const { status, body } = await front.ask(lengths, {
      inputs: [first, { ...second, shape: [1, 2], data: [1, 1] }],
    });
    expect(status).toBe(400);
    expect(body.error).toContain('"mask"');
  });

  test("a body that is too large, a path and a method that there are not", async () => {
    const large = await front.ask(rows, "x".repeat(2 * 1024 * 1024));
    expect(large.status).toBe(413);
    expect(large.body.error).toContain("AUTOGLM_REQUEST_LIMIT");
    expect((await front.ask("/v3")).status).toBe(404);
    const get = await front.ask(rows);
    expect(get.status).toBe(405);
    expect(get.headers.get("allow")).toBe("POST");
  });

  test("whatever is sent, the port answers and lives", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.json(),
          fc.string(),
          fc.json().map((text) => `{"inputs":${text}}`),
        ),
        async (body) => {
          const { status } = await front.ask(rows, body === "" ? " " : body);
          expect(status).toBe(400);
        },
      ),
      { numRuns: 100 },
    );
    expect((await front.ask(rows, x(1, 2, 3, 4))).status).toBe(200);
  });
});

test("the request's id comes back, and one is made where there is none", async () => {
  const named = await front.ask(
    rows,
    { ...x(1, 2, 3, 4), id: "mine" },
    { headers: { "x-request-id": "trace-7" } },
  );
  expect(named.headers.get("x-request-id")).toBe("trace-7");
  expect(named.body.id).toBe("mine");
  const [one, other] = [
    await front.ask("/v2"),
    await front.ask("/v2", undefined, { headers: { "x-request-id": "a b" } }),
  ];
  expect(one.headers.get("x-request-id")).toMatch(/^[\w-]+$/);
  expect(other.headers.get("x-request-id")).not.toBe("a b");
});

test("models for text take texts and give the JSON of their results", async () => {
  const { status, body } = await front.ask("/v2/models/slow-classifier/infer", {
    inputs: [input("text", "BYTES", [2], ["快", ""])],
  });
  expect(status).toBe(200);
  const [good, bad] = body.outputs[0].data.map((text: string) => JSON.parse(text));
  expect(good.labels[0]).toEqual({ label: "positive", score: 0.75 });
  expect(bad.error.code).toBe("ItemInvalid");
});

test("requests and their models are counted", async () => {
  await front.ask(rows, x(1, 2, 3, 4));
  expect(await front.metrics()).toMatch(
    /autoglm_http_request_seconds_count\{route="infer",model="tensor-rows",status="200"\} \d+/,
  );
});

test("tasks of the type tensor take the same JSON as their text", async () => {
  const models = [
    await front.ask("/v1/infer", {
      type: "tensor",
      model: "tensor-rows",
      inputs: [x(1, 2, 3, 4), { inputs: [] }],
    }),
  ];
  expect(models[0]?.status).toBe(400);
  const { body } = await front.ask("/v1/infer", {
    type: "tensor",
    model: "tensor-rows",
    inputs: [x(1, 2, 3, 4)],
  });
  const direct = await front.ask(rows, x(1, 2, 3, 4));
  expect(body.results[0].output.outputs[0].data.map(Math.fround)).toEqual(
    direct.body.outputs[0].data.map(Math.fround),
  );
});
