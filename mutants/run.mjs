// Applies each mutant of list.mjs to a scratch copy of the tree, builds it, and runs the suites named
// beside it. A mutant that no suite notices is a missing test: then it exits 1.
//
//   npm run mutants                  all
//   npm run mutants -- --only sync   those whose promise or file has that text in it
//
// Needs what `npm test` needs; takes some 10 s a mutant. The scratch copy is removed at the end.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { mutants } from "./list.mjs";

const { values } = parseArgs({ options: { only: { type: "string", default: "" } } });
const root = resolve(import.meta.dirname ?? ".", "..");
const scratch = mkdtempSync(join(tmpdir(), "kilofork-mutants-"));
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(130));

const SUITE_WITHIN_MS = 300_000;

/** True if the command succeeded. `log` gets what it printed. */
function run(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: scratch,
    encoding: "utf8",
    timeout: SUITE_WITHIN_MS,
    killSignal: "SIGKILL",
  });
  return { ok: status === 0, log: `${stdout}${stderr}` };
}

const isNative = (suite) => !suite.endsWith(".ts");
const build = (suites) => [
  ...(suites.some(isNative)
    ? [["cmake", ["--build", "build-test", "--target", ...suites.filter(isNative).map(program)]]]
    : []),
  ...(suites.every(isNative)
    ? []
    : [
        ["npx", ["node-gyp", "build"]],
        ["node", ["scripts/build.mjs"]],
      ]),
];
const program = (suite) => `${suite}_test`;
const test = (suite) =>
  isNative(suite)
    ? run(join(scratch, "build-test", program(suite)), [])
    : run("npx", ["vitest", "run", `test/${suite}`]);

/** The first suite that fails with the mutant; undefined: it survives. */
function killerOf({ file, find, replace, suites }) {
  const path = join(scratch, file);
  const text = readFileSync(path, "utf8");
  if (text.split(find).length !== 2) throw new Error(`${file} has not once: ${find}`);
  writeFileSync(
    path,
    text.replace(find, () => replace),
  );
  try {
    for (const [command, args] of build(suites)) {
      const { ok, log } = run(command, args);
      if (!ok) throw new Error(`${file} cannot be built with: ${replace}\n${log.slice(-2000)}`);
    }
    return suites.find((suite) => !test(suite).ok);
  } finally {
    writeFileSync(path, text);
  }
}

const tracked = spawnSync("git", ["ls-files"], { cwd: root, encoding: "utf8" });
for (const file of tracked.stdout.split("\n").filter(Boolean))
  cpSync(join(root, file), join(scratch, file));
cpSync(join(root, "node_modules"), join(scratch, "node_modules"), {
  recursive: true,
  verbatimSymlinks: true,
});
for (const [command, args] of [
  ["npx", ["cmake-js", "build", "-d", "native/test", "--out", "build-test"]],
  ["npx", ["node-gyp", "configure", "build"]],
  ["node", ["scripts/build.mjs"]],
]) {
  const { ok, log } = run(command, args);
  if (!ok) throw new Error(`cannot build the tree as it is:\n${log.slice(-2000)}`);
}

const isRoot = process.getuid?.() === 0;
const chosen = mutants.filter(
  ({ promise, file, asRoot }) =>
    (promise.includes(values.only) || file.includes(values.only)) && (isRoot || !asRoot),
);
let survived = 0;
for (const mutant of chosen) {
  const killer = killerOf(mutant);
  if (killer === undefined) survived++;
  process.stdout.write(`${killer ? `killed by ${killer}` : "SURVIVED"}: ${mutant.promise}\n`);
}
process.stdout.write(`${chosen.length - survived} of ${chosen.length} mutants killed\n`);
process.exitCode = survived === 0 ? 0 : 1;
