/** Compiles the C, C++ and Go programs of the bench, each at its first use. */
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

  get eventLoop(): string {
    return this.compileC("peers", "loop");
  }

  /** Holds silent connections, or makes them: bench/peers/hold.c. */
  get hold(): string {
    return this.compileC("peers", "hold");
  }

  /** Compiles with no C compiler, and leaves nothing behind in the user's cache. */
  get goServer(): string {
    const env = { ...process.env, CGO_ENABLED: "0", GOCACHE: join(this.folder, "go-cache") };
    return this.compile("server-go", ["go", "build"], [join(peersFolder, "server.go")], env);
  }

  /** Writes log records or counts, in several processes: bench/native/rate.cpp. */
  get rate(): string {
    const core = ["base/clock", "base/error", "base/escape", "log/append_log"];
    return this.compile(
      "rate",
      ["c++"],
      [
        ...["-O2", "-std=c++20", "-Wall", "-Wextra", "-I", coreFolder],
        join(benchFolder, "native", "rate.cpp"),
        ...core.map((name) => join(coreFolder, `${name}.cpp`)),
      ],
    );
  }

  private compileC(folder: string, program: string, ...more: string[]): string {
    const flags = ["-O2", "-Wall", "-Wextra", "-pthread", ...more];
    return this.compile(program, ["cc"], [...flags, join(benchFolder, folder, `${program}.c`)]);
  }

  /** `command`: with its arguments before those that name the executable. */
  private compile(program: string, command: string[], more: string[], env = process.env): string {
    const path = join(this.folder, program);
    const [compiler = "", ...args] = command;
    if (!this.compiled.has(program))
      execFileSync(compiler, [...args, "-o", path, ...more], { env });
    this.compiled.add(program);
    return path;
  }
}
