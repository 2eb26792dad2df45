/** The versions of what is measured, and of what it is built with. What is not there is left out. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

export function readVersions(): Record<string, string> {
  const found: readonly [string, string | undefined][] = [
    ["kilofork", kilofork()],
    ["Node.js", process.versions.node],
    ["Net::Server", first("perl", "-MNet::Server", "-e", "print $Net::Server::VERSION")],
    ["Perl", first("perl", "-e", "print substr($^V, 1)")],
    ["Python", first("python3", "--version")?.replace("Python ", "")],
    ["pino", ofPackage("pino")],
    ["sonic-boom", ofPackage("sonic-boom")],
    ["cc", first("cc", "--version")],
    ["c++", first("c++", "--version")],
    ["strace", first("strace", "-V")?.replace(/^.*version /, "")],
  ];
  return Object.fromEntries(
    found.filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
}

/** With the commit, and whether something is changed, where it is a clone. */
function kilofork(): string | undefined {
  const folder = join(__dirname, "..");
  const version = versionIn(join(folder, "package.json"));
  const commit = first("git", "-C", folder, "describe", "--always", "--dirty=, changed");
  return commit === undefined ? version : `${version} (${commit})`;
}

function ofPackage(name: string): string | undefined {
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

/** The first line that the program prints. */
function first(program: string, ...args: string[]): string | undefined {
  const { status, stdout } = spawnSync(program, args, { encoding: "utf8" });
  return status === 0 ? stdout.split("\n", 1)[0]?.trim() : undefined;
}
