/** Compiles the C and C++ programs of the bench, each at its first use. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";

const benchFolder = join(__dirname, "..", "bench");
const coreFolder = join(__dirname, "..", "native", "core");
export const peersFolder = join(benchFolder, "peers");

export class Programs {
  private readonly compiled = new Set<string>();

  /** The executables are written to `folder`. */
  constructor(private readonly folder: string) {}

  get referenceServer(): string {
    return this.compileC("reference", "myserver");
  }

  get referenceClient(): string {
    return this.compileC("reference", "cclient");
  }

  get bareLoop(): string {
    return this.compileC("peers", "bare", "-static");
  }

  /** Writes log records or counts, in several processes: bench/native/rate.cpp. */
  get rate(): string {
    const core = ["base/clock", "base/error", "base/escape", "log/append_log"];
    return this.compile("rate", "c++", [
      ...["-O2", "-std=c++20", "-Wall", "-Wextra", "-I", coreFolder],
      join(benchFolder, "native", "rate.cpp"),
      ...core.map((name) => join(coreFolder, `${name}.cpp`)),
    ]);
  }

  private compileC(folder: string, program: string, ...more: string[]): string {
    const flags = ["-O2", "-Wall", "-Wextra", "-pthread", ...more];
    return this.compile(program, "cc", [...flags, join(benchFolder, folder, `${program}.c`)]);
  }

  private compile(program: string, compiler: string, args: string[]): string {
    const path = join(this.folder, program);
    if (!this.compiled.has(program)) execFileSync(compiler, [...args, "-o", path]);
    this.compiled.add(program);
    return path;
  }
}
