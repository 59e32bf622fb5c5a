/** As far as images can be checked without building them: what they copy is there, what they run runs. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildPrograms } from "../../../hack/build.ts";
import { onnxRuntimeCommand, ROOT } from "./helm.ts";

const dockerfile = readFileSync(join(ROOT, "Dockerfile"), "utf8");

describe("the Dockerfile", () => {
  const fromCheckout = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = ""]) =>
    sources.split(" "),
  );

  it("copies only what is there, and the manifest of every workspace before it installs", () => {
    for (const source of fromCheckout) expect(existsSync(join(ROOT, source)), source).toBe(true);
    const { workspaces } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      workspaces: string[];
    };
    expect(fromCheckout).toEqual(expect.arrayContaining(workspaces.map((one) => `${one}/package.json`)));
  });

  it("gets what it copies past .dockerignore, and nothing that is not in git's care", () => {
    const ignore = readFileSync(join(ROOT, ".dockerignore"), "utf8").split("\n");
    const allowed = ignore.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
    for (const source of fromCheckout.filter((one) => one !== ".")) {
      expect(allowed, source).toContain(source.split("/")[0]);
    }
    expect(allowed).not.toContain("dist");
    expect(ignore[1]).toBe("*");
  });

  it("has a target for each image of the chart", () => {
    const targets = [...dockerfile.matchAll(/^FROM .* AS (\S+)$/gm)].map(([, target]) => target);
    expect(targets).toEqual(
      expect.arrayContaining(["operator", "ingester", "edge-agent", "edge-agent-cuda", "models"]),
    );
  });
});

describe("the bundles", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "autoglm-images-"));
    await buildPrograms({ outdir: folder });
  });
  afterAll(async () => rm(folder, { recursive: true, force: true }));

  const run = async (program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    execa(process.execPath, [join(folder, program, "main.js"), ...args], { cwd: folder, reject: false, env });

  it("hold one file for each entry, and no source of the checkout", () => {
    const files = (program: string) =>
      readdirSync(join(folder, program)).filter((file) => file.endsWith(".js"));
    expect(files("operator")).toEqual(["main.js"]);
    expect(files("edge-agent")).toEqual(["main.js", "offline.js", "parse-worker.js", "worker.js"]);
    for (const program of ["operator", "edge-agent", "cli"]) {
      expect(readFileSync(join(folder, program, "main.js"), "utf8")).not.toContain(`${ROOT}/`);
    }
  });

  it("name a wrong option and end", async () => {
    const operator = await run("operator", [], { AUTOGLM_ROLE: "king" });
    expect(operator).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("AUTOGLM_ROLE") });
    const agent = await run("edge-agent", [], { AUTOGLM_LOCATION: "fog" });
    expect(agent).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("AUTOGLM_LOCATION") });
  });

  it("have a command line that says its version", async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, "cli/package.json"), "utf8")) as {
      version: string;
    };
    expect(await run("cli", ["version"])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining(version),
    });
  });

  it.each([
    ["amd64", "x64"],
    ["arm64", "arm64"],
  ])("come with ONNX Runtime and sharp for %s alone", (platform, arch) => {
    const app = join(folder, platform);
    execFileSync("sh", ["-c", onnxRuntimeCommand(app)], {
      cwd: ROOT,
      env: { ...process.env, TARGETARCH: platform },
    });
    const binaries = join(app, "node_modules/onnxruntime-node/bin/napi-v6");
    expect(readdirSync(binaries)).toEqual(["linux"]);
    expect(readdirSync(join(binaries, "linux"))).toEqual([arch]);
    const megabytes = Number(execFileSync("du", ["-sm", app], { encoding: "utf8" }).split("\t")[0]);
    const images = readdirSync(join(app, "node_modules/@img")).filter((name) => name.startsWith("sharp-"));
    expect(images.sort()).toEqual([`sharp-libvips-linux-${arch}`, `sharp-linux-${arch}`]);
    expect(megabytes).toBeLessThan(85);
  });

  it("refuse an architecture that ONNX Runtime has no build for", () => {
    const options = { cwd: ROOT, env: { ...process.env, TARGETARCH: "riscv64" }, stdio: "pipe" } as const;
    expect(() => execFileSync("sh", ["-c", onnxRuntimeCommand(join(folder, "none"))], options)).toThrow(
      "unsupported: riscv64",
    );
  });
});
