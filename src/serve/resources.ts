/** The resources of a server: the listening socket, log and spawn log, the shared memory. */
import { randomBytes } from "node:crypto";
import { closeSync, fchownSync } from "node:fs";
import { resolve } from "node:path";
import { whereIs } from "../base/address";
import { isSystemError, KiloforkError } from "../base/errors";
import { version } from "../base/version";
import type { Log } from "../native/log";
import { Scoreboard } from "../native/scoreboard";
import { LogFiles } from "./log-files";
import { openListener } from "./open";
import type { ServeOptions } from "./options";
import { MOST_USERS } from "./users";

interface Hooks {
  /** Called when socket and log are open. */
  onListening(port: number): void;
  /** Called before socket and log are closed. */
  onClosing(): void;
  /** Called at the end if the log's reader did not take its last bytes. */
  onUnread(bytes: number): void;
  /** Called after each record of the front: 0, or an errno value. */
  onWrite(errno: number): void;
}

export class Resources {
  readonly segmentName = `/kilofork-${process.pid}-${randomBytes(4).toString("hex")}`;
  readonly port: number;
  readonly listener: number;
  // Set in this order; if an opening fails, only those before it are set.
  readonly logFiles!: LogFiles;
  readonly scoreboard!: Scoreboard;
  private reportedTotal = 0;

  /**
   * Opens them; if one fails, closes the others. The shared memory comes last, since it alone would
   * outlive a killed process.
   */
  constructor(
    options: ServeOptions,
    private readonly address: string,
    users: readonly string[],
    private readonly hooks: Hooks,
  ) {
    const { fd, port } = openListener(address, options);
    this.listener = fd;
    this.port = port;
    try {
      this.logFiles = new LogFiles(options, hooks.onWrite, (by) =>
        this.scoreboard.addPendingEnds(by),
      );
      hooks.onListening(port);
      this.scoreboard = createScoreboard(
        this.segmentName,
        options,
        this.logFiles.log,
        address,
        port,
      );
      if (options.runAs) {
        const { uid, gid } = options.runAs;
        fchownSync(this.scoreboard.fd, uid, gid); // so that its last child can remove it
      }
      this.scoreboard.setUsers(users);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Writes the first records. A start that fails before this leaves no record. */
  recordStart(): void {
    const where = whereIs({ address: this.address, port: this.port });
    this.logFiles.record("Server init");
    this.logFiles.record(
      `front ${process.pid} at ${where}, kilofork ${version}, UTC${this.scoreboard.publishUtcOffset()}`,
    );
  }

  /** Records the total of requests, if it has changed or this is the last time. */
  reportTotal(last = false): void {
    const total = this.scoreboard.total();
    if (total === this.reportedTotal && !last) return;
    if (this.logFiles.record(`total requests ${total}`)) this.reportedTotal = total;
  }

  /** Copies the last records to the log's reader. */
  private copySpool(): void {
    const { scoreboard, logFiles, hooks } = this;
    const { reader } = scoreboard.header();
    if (!reader) return;
    const patienceMs = reader.stalledMs === null ? READER_PATIENCE_MS : 0;
    const left = scoreboard.copySpool(logFiles.log, patienceMs);
    if (left > 0) hooks.onUnread(left);
  }

  close(): void {
    if (this.scoreboard) {
      this.reportTotal(true);
      this.scoreboard.closeTornHeads(this.logFiles.log);
      this.logFiles.writePending();
      // "Server stop" means that no record is missing.
      if (this.scoreboard.header().pendingEnds === 0) this.logFiles.record("Server stop");
      this.copySpool();
      // Remove it while its lock is held: others sweep a segment that nobody holds.
      Scoreboard.remove(this.segmentName);
      this.scoreboard.releaseGuard();
      this.scoreboard.close();
    }
    this.hooks.onClosing();
    closeSync(this.listener);
    this.logFiles?.close();
  }
}

/** A reader that stalls at the end is given up after this time. */
const READER_PATIENCE_MS = 1000;

function createScoreboard(
  segmentName: string,
  options: ServeOptions,
  { isSpooled }: Log,
  address: string,
  port: number,
): Scoreboard {
  const { host, backlog, log, startChildren, minSpare, maxSpare, maxChildren } = options;
  try {
    return new Scoreboard(segmentName, {
      ...{ users: MOST_USERS, host, address, port, backlog },
      limits: { start: startChildren, minSpare, maxSpare, max: maxChildren },
      synced: options.ack === "synced",
      spooled: isSpooled,
      perRequest: options.processPer === "request",
      graceMs: options.graceMs,
      log: log === "-" ? "-" : resolve(log),
      release: version,
    });
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const remedy =
      error.code === "ENOSPC"
        ? "enlarge it (mount -o remount,size=…; docker: --shm-size) or use fewer children"
        : "mount a tmpfs there that this user may write to";
    throw new KiloforkError(
      "ERR_MACHINE_LIMIT",
      `no shared memory in /dev/shm: ${error.message}; ${remedy}`,
      { cause: error, errno: error.errno },
    );
  }
}
