import { readFileSync } from "node:fs";
import { z } from "zod";

/** Prints vitest's JSON report as one line, `N passed, N failed`, and names what was skipped: loudly, never quietly. */
const reportSchema = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numFailedTestSuites: z.number(),
  success: z.boolean(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })),
    }),
  ),
});

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error("usage: summary.ts REPORT.json");
const report = reportSchema.parse(JSON.parse(readFileSync(file, "utf8")));

for (const suite of report.testResults) {
  for (const test of suite.assertionResults) {
    if (test.status !== "passed" && test.status !== "failed") console.log(`NOT RUN: ${test.fullName}`);
  }
}
// A file that fails before its first test holds no assertion, and still is a failure.
const brokenFiles = report.testResults.filter(
  (suite) => suite.status === "failed" && suite.assertionResults.every((test) => test.status !== "failed"),
);
for (const suite of brokenFiles)
  console.log(`FAILED TO LOAD: ${suite.name.replace(`${process.cwd()}/`, "")}`);
const failed = report.numFailedTests + brokenFiles.length;
console.log(`${report.numPassedTests} passed, ${failed} failed`);
process.exitCode = failed > 0 || report.numPassedTests === 0 ? 1 : 0;
