// The mutants of what judges: the audit, the verdict of `limit`, the protocol. Stryker makes them, one
// for each operator, condition and call. Texts of messages are left out.
//
//   npm run mutants:ts
//
// The report is build-mutants/reports/mutation.html.
const judges = [
  "src/audit/{audit,run,concurrency,log-clock}",
  "src/base/protocol",
  "src/limit/judge",
];

export default {
  mutate: judges.map((file) => `${file}.ts`),
  mutator: { excludedMutations: ["StringLiteral"] },
  testRunner: "vitest",
  vitest: { configFile: "mutants/vitest.config.mts", related: false },
  coverageAnalysis: "perTest",
  concurrency: 2,
  ignorePatterns: ["/build-*", "/dist", "/native", "/bench", "/chaos", "/docs", "/contrib"],
  tempDirName: "build-mutants/scratch",
  reporters: ["progress-append-only", "clear-text", "html"],
  htmlReporter: { fileName: "build-mutants/reports/mutation.html" },
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  thresholds: { high: 100, low: 90, break: 90 },
};
