// Builds the fuzz targets of native/fuzz in build-fuzz, and runs each of them for a bounded time. If a
// target fails, it names the file with the input and exits 1.
//
//   npm run fuzz                     runs each target as often as TARGETS says, 60 s at most
//   npm run fuzz -- --runs 20000     runs each target so many times
//   npm run fuzz -- --seconds 5      runs each target for so long at most
//   npm run fuzz -- --live 1000000   sends so many lines to a live server instead
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const PACKAGES = "Debian: apt-get install clang libclang-rt-dev";

/** `longest`: of an input, in bytes. Targets with fewer runs make system calls with every input. */
const TARGETS = {
  parser: { runs: 1_000_000, longest: 256 },
  record: { runs: 300_000, longest: 1026 },
  control: { runs: 100_000, longest: 1024 },
  exec_state: { runs: 300_000, longest: 1024 },
};
const OTHER_TARGET = { runs: 100_000, longest: 1024 };

const { values: options } = parseArgs({
  options: {
    runs: { type: "string" },
    seconds: { type: "string", default: "60" }, // at most, for each target
    live: { type: "string" },
  },
});
for (const [name, value] of Object.entries(options))
  if (!/^[1-9]\d*$/.test(value)) quit(`--${name} ${value}: not a number`);

const node = (args, more = {}) => spawnSync(process.execPath, args, { stdio: "inherit", ...more });

if (options.live) {
  if (node(["scripts/build.mjs"]).status !== 0) process.exit(1);
  const env = { ...process.env, KILOFORK_TEST_INPUTS: options.live };
  const { status } = node(["node_modules/vitest/vitest.mjs", "run", "test/live-fuzz.test.ts"], {
    env,
  });
  process.exit(status ?? 1);
}

const folder = mkdtempSync(join(tmpdir(), "kilofork-fuzz-"));
let found = false;
process.on("exit", () => {
  if (!found) rmSync(folder, { recursive: true });
});

build(findCompiler());
for (const file of readdirSync("native/fuzz").sort())
  if (file.endsWith("_fuzz.cpp")) run(file.replace("_fuzz.cpp", ""));
process.exit(found ? 1 : 0);

/** The first clang that has the runtime of libFuzzer. */
function findCompiler() {
  const versions = Array.from({ length: 17 }, (_, i) => `clang++-${30 - i}`);
  const probe = `extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }`;
  let problem = "no clang++";
  for (const compiler of ["clang++", ...versions]) {
    const flags = ["-x", "c++", "-fsanitize=fuzzer,address,undefined", "-"];
    const tried = spawnSync(compiler, [...flags, "-o", join(folder, "probe")], { input: probe });
    if (tried.status === 0) return compiler;
    if (!tried.error) problem = `${compiler} cannot link a fuzz target:\n${tried.stderr}`;
  }
  return quit(`${problem}\nFuzzing needs clang with libFuzzer. ${PACKAGES}`);
}

function build(compiler) {
  const where = ["-d", "native/fuzz", "--out", "build-fuzz"];
  const cmake = [...where, `--CDCMAKE_CXX_COMPILER=${compiler}`];
  const { status, stdout, stderr } = node(
    ["node_modules/cmake-js/bin/cmake-js", "build", ...cmake],
    { stdio: "pipe", encoding: "utf8" },
  );
  if (status !== 0) quit(`${stdout}${stderr}\nthe fuzz targets cannot be built`);
}

function run(target) {
  const { runs, longest } = TARGETS[target] ?? OTHER_TARGET;
  const corpus = join(folder, target); // new inputs go there
  mkdirSync(corpus);
  const program = resolve("build-fuzz", `${target}_fuzz`);
  const args = [
    `-runs=${options.runs ?? runs}`,
    `-max_total_time=${options.seconds}`,
    `-max_len=${longest}`,
    "-timeout=10",
    `-artifact_prefix=${folder}/${target}-`,
  ];
  const { status, signal, stderr } = spawnSync(
    program,
    [...args, corpus, resolve("native/fuzz/corpus", target)],
    {
      cwd: folder,
      encoding: "utf8",
      maxBuffer: 1 << 28,
      timeout: (Number(options.seconds) + 60) * 1000,
    },
  );
  const [, done, seconds] = /^Done (\d+) runs in (\d+) second/m.exec(stderr) ?? [];
  if (status === 0 && done) {
    const edges = [...stderr.matchAll(/ cov: (\d+) /g)].at(-1)?.[1] ?? "0";
    const count = Number(done).toLocaleString("en").padStart(9);
    console.log(
      `${target.padEnd(10)} ${count} runs  ${seconds.padStart(3)} s  ${edges.padStart(4)} edges  nothing found`,
    );
    return;
  }
  found = true;
  const interesting = stderr.split("\n").filter((line) => !/^#\d+\s/.test(line));
  console.error(interesting.slice(-60).join("\n"));
  const inputs = readdirSync(folder).filter((name) => name.startsWith(`${target}-`));
  console.error(
    `${target}: ended by ${signal ?? `exit ${status}`}. To repeat it with each input found:`,
  );
  for (const input of inputs) console.error(`  ${program} ${join(folder, input)}`);
}

function quit(why) {
  console.error(why);
  process.exit(2);
}
