import { expect, it } from "vitest";
import { parseManifests } from "./manifests.ts";

const task = (spec: string, kind = "AutoGLMTask") =>
  `apiVersion: autoglm.io/v1alpha1\nkind: ${kind}\nmetadata: {name: reviews}\nspec: ${spec}\n`;
const GOOD = task("{type: ner, input: {inline: [a]}}");

it("takes several documents and leaves them as they were written", () => {
  const manifests = parseManifests("f.yaml", `${GOOD}---\n---\n${GOOD}`);
  expect(manifests).toHaveLength(2);
  expect(manifests[0]?.object).toMatchObject({ spec: { type: "ner", input: { inline: ["a"] } } });
  expect(manifests[0]?.object).not.toHaveProperty("spec.priority");
});

it.each([
  [task("{type: nonsense, input: {inline: [a]}}"), "spec.type"],
  [task("{input: {inline: [a]}, priority: high}"), "spec.priority"],
  [task("{input: {inline: [a]}, colour: red}"), "spec.colour: unknown field"],
  [task("{type: ner, input: {inline: [a], file: b}}"), "input"],
  [task("{type: ner}"), "spec.input: is required"],
  [task("{}", "AutoGLMDream"), "kind"],
  ["kind: Pod\napiVersion: v1\n", "kind"],
  ["just text", "kind: is required"],
  ["a: [", "f.yaml, document 1"],
  ["", "holds no manifest"],
])("refuses %j and names the field", (text, field) => {
  expect(() => parseManifests("f.yaml", text)).toThrowError(
    expect.objectContaining({ code: "InvalidOption", message: expect.stringContaining(field) as string }),
  );
});

it("names the file and the document", () => {
  const text = `${GOOD}---\n${task("{type: ner, input: {inline: []}}")}`;
  expect(() => parseManifests("examples/two.yaml", text)).toThrow(
    "examples/two.yaml, document 2: spec.input.inline",
  );
});
