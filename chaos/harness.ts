/**
 * Where the server runs: a temporary folder, on it a small disk in a mount namespace that the server
 * enters (if this process may mount), and the processes of the server, found by a tag in their
 * environment. unshare(1) nsenter(1) mount_namespaces(7) tmpfs(5)
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { type StartedServer, startServer } from "../src/harness/server";
import { canLimitProcesses, ProcessLimit } from "../test/support/cgroup";
import { TaggedProcesses } from "../test/support/processes";
import { LogPipe } from "./pipe";

const LOG = "server.log";
const FILLER = "filler";
const FIFO = "log.fifo";

export class Harness {
  readonly folder = mkdtempSync(join(tmpdir(), "kilofork-chaos-"));
  readonly usersFile = join(this.folder, "users");
  private readonly disk = join(this.folder, "disk");
  private readonly errors = openSync(join(this.folder, "server.err"), "a");
  private readonly tagged = new TaggedProcesses("KILOFORK_CHAOS");
  private mountHolder: ChildProcess | undefined;
  private readonly cgroup = canLimitProcesses ? new ProcessLimit() : undefined;
  private rotations = 0;
  /** The log of the present server, if that is no file. */
  pipe: LogPipe | undefined;

  static async open(megabytes: number): Promise<Harness> {
    const harness = new Harness();
    writeFileSync(harness.usersFile, "arijort\n");
    const script = `mkdir "$0" && mount -t tmpfs -o size=${megabytes}m none "$0" && echo ready && exec cat`;
    const holder = spawn("unshare", ["--mount", "sh", "-c", script, harness.disk], {
      stdio: ["pipe", "pipe", "ignore"], // it ends with this process, however that ends
      detached: true, // Ctrl-C does not reach it
    });
    const ready = once(holder.stdout, "data").then(() => true);
    const refused = once(holder, "close").then(
      () => false,
      () => false,
    );
    if (await Promise.race([ready, refused])) harness.mountHolder = holder;
    return harness;
  }

  get hasDisk(): boolean {
    return this.mountHolder !== undefined;
  }

  get limitsProcesses(): boolean {
    return this.cgroup !== undefined;
  }

  /** The path by which the server opens it. */
  get log(): string {
    return join(this.hasDisk ? this.disk : this.folder, LOG);
  }

  private path(name: string): string {
    const root = this.mountHolder ? `/proc/${this.mountHolder.pid}/root` : "";
    return join(root, dirname(this.log), name);
  }

  /** Starts the server in a session of its own. It stops when this process ends. */
  async start(port: number, piped: boolean, args: readonly string[]): Promise<StartedServer> {
    this.pipe = piped ? new LogPipe(join(this.folder, FIFO), this.path(LOG)) : undefined;
    const enter = ["nsenter", "--target", String(this.mountHolder?.pid), "--mount", "--"];
    const server = await startServer({
      ...{ port, log: this.pipe?.writer ?? this.log, args, stderr: this.errors, detached: true },
      via: [...(this.cgroup?.enter ?? []), ...(this.mountHolder ? enter : [])],
      env: { TZ: "UTC", ...this.tagged.environment },
    });
    this.tagged.add(server.pid);
    return server;
  }

  // ---- processes of the server ------------------------------------------------------------------

  processes(): number[] {
    return this.tagged.list();
  }

  /** False if the process has ended. */
  signal(pid: number, name: NodeJS.Signals): boolean {
    try {
      return pid > 0 && this.tagged.has(pid) && process.kill(pid, name);
    } catch {
      return false;
    }
  }

  /** Makes fork fail, until unlimitProcesses(). */
  limitProcesses(): void {
    this.cgroup?.set(1);
  }

  unlimitProcesses(): void {
    this.cgroup?.set("max");
  }

  // ---- disk and log -----------------------------------------------------------------------------

  /** Ends the pipe of a server that has ended. */
  closePipe(): void {
    this.pipe?.close();
    this.pipe = undefined;
  }

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

  /** False if the server has not yet opened the log again after the last time, or it is a pipe. */
  renameLog(): boolean {
    if (this.pipe || !existsSync(this.path(LOG))) return false;
    renameSync(this.path(LOG), this.path(`${LOG}.${++this.rotations}`));
    return true;
  }

  /**
   * The oldest first, by inode number: a tmpfs numbers its files as it makes them. Names have no
   * order, and two files may have the same time.
   */
  logs(): string[] {
    const born = (path: string) => statSync(path).ino;
    return readdirSync(this.path("."))
      .filter((name) => name.startsWith(LOG))
      .map((name) => this.path(name))
      .sort((a, b) => born(a) - born(b));
  }

  /** Renames the logs of the last server, so that the next one begins a new file. */
  archiveLogs(): void {
    for (const path of this.logs())
      if (!/\.log\.\d+$/.test(path)) renameSync(path, this.path(`${LOG}.${++this.rotations}`));
  }

  /** Files that the server left in its folder beside the logs. */
  strangeFiles(): string[] {
    const own = ["users", "server.err"];
    return readdirSync(this.path(".")).filter(
      (name) => !name.startsWith(LOG) && !own.includes(name),
    );
  }

  /** Ends all processes and deletes the folder; `keep` leaves it, with the logs. */
  async close(keep: boolean): Promise<void> {
    for (const pid of this.processes()) this.signal(pid, "SIGKILL");
    this.closePipe();
    await this.cgroup?.remove();
    if (this.mountHolder) {
      for (const path of keep ? this.logs() : [])
        copyFileSync(path, join(this.folder, basename(path)));
      const ended = once(this.mountHolder, "close");
      this.mountHolder.stdin?.end();
      await ended;
      rmSync(this.disk, { recursive: true, force: true });
    }
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
  }
}
