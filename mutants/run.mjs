// Applies each mutant of list.mjs to a scratch copy of the tree, builds it, and runs the suites named
// beside it. A mutant that no suite notices is a missing test: then it exits 1.
//
//   npm run mutants                  all
//   npm run mutants -- --only sync   those whose promise or file has that text in it; may be repeated
//
// Needs what `npm run test:all` needs. Takes some 10 s a mutant, less with CXX="ccache g++". The scratch copy is
// removed at the end.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { mutants } from "./list.mjs";

const { values } = parseArgs({
  options: { only: { type: "string", multiple: true, default: [""] } },
});
const root = resolve(import.meta.dirname ?? ".", "..");
const scratch = mkdtempSync(join(tmpdir(), "kilofork-mutants-"));
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(130));

const COMMAND_WITHIN_MS = 300_000;

/**
 * Resolves to whether the command succeeded, and what it printed. Ends it when it prints `stopAt`: a
 * test that waits for what the mutant has taken away waits long, and the first one is enough.
 */
async function run(command, args, stopAt) {
  const child = spawn(command, args, {
    cwd: scratch,
    env: { CCACHE_BASEDIR: scratch, CCACHE_NOHASHDIR: "1", ...process.env },
    timeout: COMMAND_WITHIN_MS,
    killSignal: "SIGKILL",
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      log += text;
      if (stopAt?.test(log)) child.kill("SIGTERM");
    });
  const [status] = await once(child, "close");
  return { ok: status === 0, log };
}

async function build(commands, what) {
  for (const [command, ...args] of commands) {
    const { ok, log } = await run(command, args);
    if (!ok) throw new Error(`cannot build ${what}:\n${log.slice(-2000)}`);
  }
}

/** `request`: native/test/request_test.cpp. `wire.test.ts busy`: the tests with that word. */
function parse(suite) {
  const [file, ...words] = suite.split(" ");
  const isNative = !file.endsWith(".ts");
  return { isNative, file: isNative ? `${file}_test` : `test/${file}`, words: words.join(" ") };
}

/** True if no test of the suite fails. */
async function passes({ isNative, file, words }) {
  const { ok } = isNative
    ? await run(join(scratch, "build-test", file), words === "" ? [] : [words], /^FAILED/m)
    : await run("npx", ["vitest", "run", file, "--bail=1", ...(words === "" ? [] : ["-t", words])]);
  return ok;
}

/** Builds what the suites need. */
function commandsFor(suites) {
  const programs = new Set(suites.filter(({ isNative }) => isNative).map(({ file }) => file));
  const server = [
    ["npx", "node-gyp", "build"],
    ["node", "scripts/build.mjs"],
  ];
  return [
    ...(programs.size > 0 ? [["cmake", "--build", "build-test", "--target", ...programs]] : []),
    ...(suites.some(({ isNative }) => !isNative) ? server : []),
  ];
}

/** The first suite that fails with the mutant; undefined: it survives. */
async function killerOf({ file, find, replace, suites }) {
  const path = join(scratch, file);
  const text = readFileSync(path, "utf8");
  if (text.split(find).length !== 2) throw new Error(`${file} has not once: ${find}`);
  const parsed = suites.map(parse);
  writeFileSync(
    path,
    text.replace(find, () => replace),
  );
  try {
    await build(commandsFor(parsed), `${file} with: ${replace}`);
    for (const [index, suite] of suites.entries()) if (!(await passes(parsed[index]))) return suite;
    return undefined;
  } finally {
    writeFileSync(path, text);
  }
}

const isRoot = process.getuid?.() === 0;
const chosen = mutants.filter(
  ({ promise, file, asRoot }) =>
    values.only.some((text) => promise.includes(text) || file.includes(text)) &&
    (isRoot || !asRoot),
);

const tracked = spawnSync("git", ["ls-files"], { cwd: root, encoding: "utf8" });
for (const file of tracked.stdout.split("\n").filter(Boolean))
  cpSync(join(root, file), join(scratch, file));
symlinkSync(join(root, "node_modules"), join(scratch, "node_modules"));
await build(
  [["npx", "cmake-js", "configure", "-d", "native/test", "--out", "build-test"]],
  "cmake",
);
const suites = chosen.flatMap((mutant) => mutant.suites.map(parse));
if (suites.some(({ isNative }) => !isNative))
  await build([["npx", "node-gyp", "configure"]], "gyp");
await build(commandsFor(suites), "the tree as it is");

const began = Date.now();
let survived = 0;
for (const mutant of chosen) {
  const killer = await killerOf(mutant);
  if (killer === undefined) survived++;
  process.stdout.write(`${killer ? `killed by ${killer}` : "SURVIVED"}: ${mutant.promise}\n`);
}
const minutes = Math.ceil((Date.now() - began) / 60_000);
process.stdout.write(
  `${chosen.length - survived} of ${chosen.length} mutants killed in ${minutes} min\n`,
);
process.exitCode = survived === 0 ? 0 : 1;
