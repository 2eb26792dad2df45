import { defineConfig } from "vitest/config";

/** The tests that call the mutated files in their own process, and start no other. */
export default defineConfig({
  test: {
    include: ["audit", "audit-parts", "protocol", "limit-judge"].map(
      (name) => `test/${name}.test.ts`,
    ),
    testTimeout: 120_000, // as in all tests: Stryker has a time-out of its own
  },
});
