import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    reporters: process.env.CI ? ["default", "json"] : ["default"],
    outputFile: { json: "build-test/vitest.json" },
    // Servers with a thousand children: one file at a time, and time for a machine that is busy.
    fileParallelism: false,
    // And a second try where others take the processors away for longer than a test can bear.
    retry: process.env.CI ? 1 : 0,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
