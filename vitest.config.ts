import { defineConfig } from "vitest/config";

/**
 * unit: beside the code, no I/O beyond a temporary folder, seconds.
 * integration: one real server (kube-apiserver, nats-server, ONNX Runtime) under one part of ours.
 * e2e: all processes as a user starts them; chaos tests kill them.
 */
export default defineConfig({
  test: {
    reporters: process.env["CI"] ? ["default"] : ["default"],
    projects: [
      {
        test: {
          name: "unit",
          include: ["{api,core,telemetry,kube,bus,operator,edge-agent,cli,hack}/**/*.test.ts"],
          exclude: ["**/node_modules/**"],
        },
      },
      {
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          globalSetup: ["test/support/global-cluster.ts"],
          testTimeout: 60_000,
          hookTimeout: 600_000,
          // Two cores: servers under test compete with each other before they compete with the tests.
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts", "test/chaos/**/*.test.ts"],
          testTimeout: 240_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
