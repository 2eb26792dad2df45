import { defineConfig } from "vitest/config";

/** Files that measure nothing and change nothing that others use: several at a time. */
const TOGETHER = [
  ...[
    "addon",
    "audit",
    "audit-parts",
    "docs",
    "limit-judge",
    "limit-search",
    "property",
    "protocol",
  ],
  ...["repair", "results", "usage", "wire"],
  // Few children each, and two files take no longer than one: they wait most of the time.
  ...["ack", "client", "disk", "hostile", "machines", "operation", "spool"],
  ...["start", "status"],
].map((name) => `test/${name}.test.ts`);

const common = {
  // Time for a machine that is busy.
  testTimeout: 120_000,
  hookTimeout: 60_000,
  // And a second try where others take the processors away for longer than a test can bear.
  retry: process.env.CI ? 1 : 0,
};

export default defineConfig({
  test: {
    // Vitest would take one fewer than there are processors.
    maxWorkers: 2,
    reporters: process.env.CI ? ["default", "json"] : ["default"],
    outputFile: { json: "build-test/vitest.json" },
    projects: [
      {
        test: {
          ...{ name: "together", include: TOGETHER },
          sequence: { groupOrder: 0 },
          ...common,
        },
      },
      {
        // Servers with a thousand children: one file at a time.
        test: {
          ...{ name: "alone", include: ["test/*.test.ts"], exclude: TOGETHER },
          ...{ fileParallelism: false, sequence: { groupOrder: 1 } },
          ...common,
        },
      },
      {
        // Only in `npm run test:all`.
        test: {
          ...{ name: "slow", include: ["test/slow/*.test.ts"] },
          ...{ fileParallelism: false, sequence: { groupOrder: 2 } },
          ...common,
        },
      },
    ],
  },
});
