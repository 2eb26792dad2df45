/**
 * Where the server runs: a folder, with a small disk mounted on it that only the server and we see,
 * if we may mount; and the processes of the server, which carry a tag of ours.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { commandPath } from "../src/base/paths";
import { holdsSegmentOf } from "../test/support/holders";

const TAG = "KILOFORK_CHAOS";
const LOG = "server.log";
const FILLER = "filler";

/** Waits for a state; false when it does not come in time. */
export async function until(ask: () => boolean, limitMs: number): Promise<boolean> {
  for (const deadline = performance.now() + limitMs; !ask(); await sleep(10))
    if (performance.now() > deadline) return false;
  return true;
}

export class Harness {
  readonly folder = mkdtempSync(join(tmpdir(), "kilofork-chaos-"));
  readonly usersFile = join(this.folder, "users");
  private readonly disk = join(this.folder, "disk");
  private readonly errors = openSync(join(this.folder, "server.err"), "a");
  private readonly tag = `${process.pid}-${randomBytes(6).toString("hex")}`;
  private readonly fronts: number[] = [];
  private keeper: ChildProcess | undefined;
  private rotations = 0;

  static async open(megabytes: number): Promise<Harness> {
    const harness = new Harness();
    writeFileSync(harness.usersFile, "arijort\n");
    const script = `mkdir "$0" && mount -t tmpfs -o size=${megabytes}m none "$0" && echo ready && exec cat`;
    const keeper = spawn("unshare", ["--mount", "sh", "-c", script, harness.disk], {
      stdio: ["pipe", "pipe", "ignore"], // it ends with us, however we end
      detached: true, // Ctrl-C is for us alone
    });
    const ready = once(keeper.stdout, "data").then(() => true);
    const refused = once(keeper, "close").then(
      () => false,
      () => false,
    );
    if (await Promise.race([ready, refused])) harness.keeper = keeper;
    return harness;
  }

  get hasDisk(): boolean {
    return this.keeper !== undefined;
  }

  /** As the server names it. */
  get log(): string {
    return join(this.hasDisk ? this.disk : this.folder, LOG);
  }

  private path(name: string): string {
    const root = this.keeper ? `/proc/${this.keeper.pid}/root` : "";
    return join(root, dirname(this.log), name);
  }

  /** In its own session, but its standard input ends with us. */
  spawn(args: readonly string[]): ChildProcess {
    const enter = ["nsenter", "--target", String(this.keeper?.pid), "--mount", "--"];
    const [program = "", ...rest] = [
      ...(this.keeper ? enter : []),
      ...[process.execPath, commandPath, ...args],
    ];
    const front = spawn(program, rest, {
      stdio: ["pipe", "pipe", this.errors],
      detached: true,
      env: { ...process.env, TZ: "UTC", [TAG]: this.tag },
    });
    this.fronts.push(front.pid ?? 0);
    return front;
  }

  // ---- processes of the server ------------------------------------------------------------------

  processes(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => this.isOurs(pid));
  }

  /** False: it is not there any more. */
  signal(pid: number, name: NodeJS.Signals): boolean {
    try {
      return pid > 0 && this.isOurs(pid) && process.kill(pid, name);
    } catch {
      return false;
    }
  }

  private isOurs(pid: number): boolean {
    try {
      const variables = readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
      if (variables.includes(`${TAG}=${this.tag}`)) return true; // a zombie has none
      return holdsSegmentOf(this.fronts, pid);
    } catch {
      return false;
    }
  }

  // ---- disk and log -----------------------------------------------------------------------------

  fill(): void {
    const chunk = Buffer.alloc(1 << 20);
    for (;;) {
      try {
        writeFileSync(this.path(FILLER), chunk, { flag: "a" });
      } catch {
        return;
      }
    }
  }

  empty(): void {
    rmSync(this.path(FILLER), { force: true });
  }

  /** False: the last order to open the log again was not carried out yet. */
  renameLog(): boolean {
    if (!existsSync(this.path(LOG))) return false;
    renameSync(this.path(LOG), this.path(`${LOG}.${++this.rotations}`));
    return true;
  }

  /**
   * The oldest first. A file that was given up stays where it is, so names tell no order; nor do the
   * times of two that are made within a tick of the clock. A tmpfs numbers its files as it makes them.
   */
  logs(): string[] {
    const born = (path: string) => statSync(path).ino;
    return readdirSync(this.path("."))
      .filter((name) => name.startsWith(LOG))
      .map((name) => this.path(name))
      .sort((a, b) => born(a) - born(b));
  }

  /** The next server begins a file of its own. */
  archiveLogs(): void {
    for (const path of this.logs())
      if (!/\.log\.\d+$/.test(path)) renameSync(path, this.path(`${LOG}.${++this.rotations}`));
  }

  /** What the server has left in its folder beside the logs. */
  strangeFiles(): string[] {
    const own = ["users", "server.err"];
    return readdirSync(this.path(".")).filter(
      (name) => !name.startsWith(LOG) && !own.includes(name),
    );
  }

  /** Leaves nothing but, if wanted, the folder with the logs. */
  async close(keep: boolean): Promise<void> {
    for (const pid of this.processes()) this.signal(pid, "SIGKILL");
    if (this.keeper) {
      for (const path of keep ? this.logs() : [])
        copyFileSync(path, join(this.folder, basename(path)));
      const ended = once(this.keeper, "close");
      this.keeper.stdin?.end();
      await ended;
      rmSync(this.disk, { recursive: true, force: true });
    }
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
  }
}
