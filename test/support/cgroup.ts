/** Cgroups with limits, for a server to be started in. It takes root: cgroups(7). */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { within } from "./wait";

/** Of version 1, or of version 2 if all controllers are there. */
function rootOf(controller: string): string | undefined {
  const roots = [`/sys/fs/cgroup/${controller}`, "/sys/fs/cgroup"];
  return roots.find((root) => {
    try {
      accessSync(root, constants.W_OK);
      const subtree = join(root, "cgroup.subtree_control");
      return existsSync(subtree)
        ? readFileSync(subtree, "utf8").split(/\s/).includes(controller)
        : existsSync(join(root, "cgroup.procs"));
    } catch {
      return false;
    }
  });
}

let made = 0;

class Cgroup {
  private readonly path: string;

  constructor(controller: string) {
    const name = `kilofork-test-${process.pid}-${++made}`;
    this.path = join(rootOf(controller) as string, name);
    mkdirSync(this.path);
  }

  /** The command by which another enters it. */
  get enter(): string[] {
    return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', join(this.path, "cgroup.procs")];
  }

  protected write(file: string, value: string | number): void {
    writeFileSync(join(this.path, file), String(value));
  }

  protected has(file: string): boolean {
    return existsSync(join(this.path, file));
  }

  protected read(file: string): string {
    return readFileSync(join(this.path, file), "utf8");
  }

  /** The kernel refuses while a process is in it. */
  async remove(): Promise<void> {
    await within(5000, () => {
      try {
        rmdirSync(this.path);
        return true;
      } catch {
        return false;
      }
    });
  }
}

export const canLimitProcesses = rootOf("pids") !== undefined;

export class ProcessLimit extends Cgroup {
  constructor() {
    super("pids");
  }

  set(most: number | "max"): void {
    this.write("pids.max", most);
  }

  get current(): number {
    return Number(this.read("pids.current"));
  }
}

export const canLimitMemory = rootOf("memory") !== undefined;

/** Of version 1 or 2, whose files have other names. */
export class MemoryLimit extends Cgroup {
  private readonly isFirst: boolean;

  constructor() {
    super("memory");
    this.isFirst = this.has("memory.limit_in_bytes");
  }

  set(bytes: number): void {
    this.write(this.isFirst ? "memory.limit_in_bytes" : "memory.max", bytes);
  }

  get current(): number {
    return Number(this.read(this.isFirst ? "memory.usage_in_bytes" : "memory.current"));
  }
}
