import { expect, test } from "vitest";
import { metricOf } from "./agent-metrics.ts";

const text = `# HELP processes Processes.
# TYPE processes gauge
processes{model="tiny",variant="default"} 1
processes{model="minilm",variant="default"} 2
processes_seen 7
delay_seconds 0.0031
`;

test.each([
  ["processes", { model: "minilm" }, 2],
  ["delay_seconds", {}, 0.0031],
  ["processes", { model: "absent" }, undefined],
  ["delay", {}, undefined],
])("%s with %o is %s", (name, labels, value) => {
  expect(metricOf(text, name, labels)).toBe(value);
});
