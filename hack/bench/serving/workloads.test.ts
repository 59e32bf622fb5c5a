import { expect, test } from "vitest";
import { bentoBodies, problemWithAnswers, type Workload } from "./workloads.ts";

const workload: Workload = {
  id: "tiny",
  model: "tiny",
  title: "",
  bodies: [],
  requests: [{ inputs: [{ name: "x", shape: [1, 2], datatype: "FP32", data: [3, 4] }] }],
  expected: [
    [0.25, 0.75],
    [0.5, 0.5],
  ],
};
const openInference = (data: readonly number[]) => JSON.stringify({ outputs: [{ name: "y", data }] });

test("answers of either form are right within what the order of additions changes", () => {
  expect(problemWithAnswers(workload, [openInference([0.25001, 0.75]), "[[0.5,0.5]]"])).toBeUndefined();
});

test.each([
  ["another number", openInference([0.5, 0.6]), "the answer to request 1 is wrong"],
  ["a number too few", openInference([0.5]), "the answer to request 1 is wrong"],
  ["another form", '{"y":[0.5,0.5]}', "the answer to request 1 has another form"],
  ["nothing", "", "no answer to request 1"],
])("%s is told", (_, second, problem) => {
  expect(problemWithAnswers(workload, [openInference([0.25, 0.75]), second])).toBe(problem);
});

test("BentoML gets the same numbers as the argument of its method", () => {
  expect(bentoBodies(workload)).toEqual(['{"x":[[3,4]]}']);
});
