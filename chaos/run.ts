/**
 * `npm run chaos`: many clients load the server while its processes are killed and stopped at random,
 * its disk fills and its log rotates. Then the replies that the clients had are compared with the
 * log and the counters of the server.
 *
 *   npm run chaos -- [--minutes N | --seconds N] [--seed N] [--json]
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { parseCount, showCount, showDuration } from "../src/base/units";
import { EXIT, exitCodeOf } from "../src/command/exit";
import { Chaos, type Report } from "./chaos";
import { Harness } from "./harness";

const LONGEST_MINUTES = 60;
/** The size of the disk has room for the log of all clients at their rate. */
const MEGABYTES_AT_LEAST = 32;
const MEGABYTES_A_SECOND = 0.4;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      seconds: { type: "string" },
      seed: { type: "string", default: String(randomInt(2 ** 31)) },
      json: { type: "boolean", default: false },
    },
  });
  const range = { min: 1, max: LONGEST_MINUTES };
  const seconds =
    values.seconds === undefined
      ? parseCount(values.minutes, "minutes", range) * 60
      : parseCount(values.seconds, "seconds", { ...range, max: range.max * 60 });
  const seed = parseCount(values.seed, "seed", { min: 0, max: 2 ** 31 });
  process.stderr.write(`chaos for ${seconds} s, seed ${seed}\n`);

  const harness = await Harness.open(MEGABYTES_AT_LEAST + Math.ceil(seconds * MEGABYTES_A_SECOND));
  let ok = false;
  try {
    const chaos = new Chaos(harness, seed, seconds);
    for (const signal of ["SIGINT", "SIGTERM"] as const)
      process.on(signal, () => chaos.interrupt());
    const report = await chaos.run();
    ok = report.ok;
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : show(report));
  } finally {
    await harness.close(!ok);
    if (!ok) process.stderr.write(`the logs are in ${harness.folder}\n`);
  }
  return ok ? EXIT.yes : EXIT.no;
}

function show(report: Report): string {
  const { done, failures, refused, runs, slowestEndMs, clients, hasDisk, problems } = report;
  const list = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([what, count]) => `${showCount(count)} ${what}`)
      .join(", ") || "none";
  const row = (what: string, ...numbers: number[]) =>
    `  ${what.padEnd(32)}${numbers.map((number) => showCount(number).padStart(9)).join("")}\n`;
  const rows = Object.entries(done).map(([what, { times, hit }]) => row(what, times, hit));
  const note = hasDisk ? "" : "  no disk was filled: mounting one takes root\n";
  const verdict = problems.length === 0 ? "OK  the books of both sides balance\n" : "";
  return [
    `done to the server${" ".repeat(19)}times      hit\n${rows.join("")}${note}`,
    row("runs of the server", runs),
    `  slowest to end ${showDuration(slowestEndMs).padStart(26)}\n`,
    `requests of ${clients} clients\n`,
    row("sent", report.sent) + row("verified", report.verified),
    row("counted", report.counted) + row("completed", report.completed),
    row("lost", report.lost) +
      row("doubled", report.doubled) +
      row("not counted", report.notCounted),
    `  failed    ${list(failures)}\n  refused   ${list(refused)}\n`,
    verdict,
    ...problems.map((problem) => `NOT OK  ${problem}\n`),
  ].join("");
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`chaos: ${error instanceof Error ? error.message : error}\n`);
    process.exitCode = exitCodeOf(error);
  },
);
