/** The machine, and the versions of the programs that are measured and of their compilers. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import type { Host } from "./report";

export function readHost(): Host {
  return {
    cpus: cpus().length,
    model: cpus()[0]?.model ?? "",
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  };
}

/** Leaves out a program that is not installed. */
export function readVersions(): Record<string, string> {
  const found: readonly [string, string | undefined][] = [
    ["kilofork", ownVersion()],
    ["Node.js", process.versions.node],
    ["Net::Server", firstLine("perl", "-MNet::Server", "-e", "print $Net::Server::VERSION")],
    ["Perl", firstLine("perl", "-e", "print substr($^V, 1)")],
    ["Go", firstLine("go", "version")?.match(/go([\d.]+)/)?.[1]],
    ["Python", firstLine("python3", "--version")?.replace("Python ", "")],
    ["pino", versionOfPackage("pino")],
    ["sonic-boom", versionOfPackage("sonic-boom")],
    ["cc", firstLine("cc", "--version")],
    ["c++", firstLine("c++", "--version")],
    ["strace", firstLine("strace", "-V")?.replace(/^.*version /, "")],
  ];
  return Object.fromEntries(
    found.filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
}

/** In a clone also the commit, and whether files are changed. */
function ownVersion(): string | undefined {
  const folder = join(__dirname, "..");
  const version = versionIn(join(folder, "package.json"));
  const commit = firstLine("git", "-C", folder, "describe", "--always", "--dirty=, changed");
  return commit === undefined ? version : `${version} (${commit})`;
}

function versionOfPackage(name: string): string | undefined {
  try {
    const { resolve } = createRequire(join(__dirname, "run.cjs"));
    return versionIn(resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
}

function versionIn(file: string): string {
  return JSON.parse(readFileSync(file, "utf8")).version;
}

/** The first line that a program prints, or undefined if it fails. */
function firstLine(program: string, ...args: string[]): string | undefined {
  const { status, stdout } = spawnSync(program, args, { encoding: "utf8" });
  return status === 0 ? stdout.split("\n", 1)[0]?.trim() : undefined;
}
