// The formatter and the linter of the C++ sources: clang-format and clang-tidy, from the
// system (Debian: clang-format clang-tidy), and the order of the rooms (rooms.mjs). With --write,
// formats in place and lints nothing.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { problemsOfIncludes } from "./rooms.mjs";

const list = (...patterns) =>
  execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", ...patterns])
    .toString()
    .split("\n")
    .filter((file) => file !== "" && existsSync(file));

function run(program, args) {
  const { status, error } = spawnSync(program, args, { stdio: "inherit" });
  if (error) throw new Error(`${program}: ${error.message}; Debian: apt-get install ${program}`);
  if (status !== 0) process.exit(status ?? 1);
}

const cpp = list("native/**/*.cpp", "native/**/*.hpp", "bench/native/*.cpp");
if (process.argv.includes("--write")) {
  run("clang-format", ["-i", ...cpp]);
} else {
  run("clang-format", ["--dry-run", "--Werror", ...cpp]);
  const problems = cpp.flatMap((file) => problemsOfIncludes(file, readFileSync(file, "utf8")));
  if (problems.length > 0) throw new Error(`includes:\n${problems.join("\n")}`);
  const { include_dir: napi } = await import("node-addon-api").then((module) => module.default);
  const { include_dir: node } = await import("node-api-headers").then((module) => module.default);
  const flags = ["-std=c++20", "-isystem", resolve(napi), "-isystem", node, "-Inative/core"];
  const defines = ["-DNAPI_VERSION=8", "-DNAPI_CPP_EXCEPTIONS", "-DBUILDING_NODE_EXTENSION"];
  const linted = ["native/core", "native/addon", "native/supervisor", "bench/native"];
  const sources = list(...linted.map((folder) => `${folder}/**/*.cpp`));
  const tidy = `clang-tidy --quiet "$0" -- ${[...flags, ...defines].join(" ")} 2>/dev/null`;
  const jobs = String(cpus().length);
  const { status } = spawnSync("xargs", ["-n", "1", "-P", jobs, "sh", "-c", tidy], {
    input: sources.join("\n"),
    stdio: ["pipe", "inherit", "inherit"],
  });
  if (status !== 0) process.exit(1);
  process.stdout.write(
    `clang-format: ${cpp.length} files, clang-tidy: ${sources.length} files, no findings\n`,
  );
}
