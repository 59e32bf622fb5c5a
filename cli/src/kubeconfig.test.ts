import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readKubeContext } from "./kubeconfig.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "autoglm-kubeconfig-"));
  const config = {
    "current-context": "one",
    contexts: [
      { name: "one", context: { cluster: "c", user: "with-token", namespace: "lab" } },
      { name: "two", context: { cluster: "c", user: "with-file" } },
      { name: "three", context: { cluster: "c", user: "with-certificate", namespace: "" } },
    ],
    users: [
      { name: "with-token", user: { token: "t1" } },
      { name: "with-file", user: { tokenFile: "token" } },
      { name: "with-certificate", user: { "client-certificate-data": "…" } },
    ],
  };
  writeFileSync(join(dir, "config"), JSON.stringify(config));
  writeFileSync(join(dir, "token"), "t2\n");
  writeFileSync(join(dir, "other"), "current-context: two\n");
  writeFileSync(join(dir, "empty"), "");
  writeFileSync(join(dir, "broken"), "contexts: 7\n");
});
afterAll(() => rmSync(dir, { recursive: true }));

it.each([
  [["config"], undefined, { namespace: "lab", token: "t1" }],
  [["config"], "two", { namespace: "default", token: "t2" }],
  [["config"], "three", { namespace: "default", token: undefined }],
  [["other", "missing", "config"], undefined, { namespace: "default", token: "t2" }],
  [["empty"], undefined, { namespace: "default", token: undefined }],
])("reads %j, context %s", async (files, context, expected) => {
  const paths = files.map((file) => join(dir, file)).join(delimiter);
  expect(await readKubeContext(paths, context)).toEqual(expected);
});

it("names the contexts that there are when the wanted one is missing", async () => {
  await expect(readKubeContext(join(dir, "config"), "nope")).rejects.toMatchObject({
    code: "InvalidOption",
    details: { hint: expect.stringContaining("two, three") as string },
  });
});

it("says what is wrong with a kubeconfig", async () => {
  for (const file of ["missing", "broken"]) {
    await expect(readKubeContext(join(dir, file))).rejects.toMatchObject({
      code: "InvalidOption",
      details: { hint: expect.any(String) as string },
    });
  }
});
