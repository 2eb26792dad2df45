/**
 * Carries out orders to a running server: reload, reopen, replace. The parts of an order are
 * independent: if one fails, the others are carried out. The answer is written to the shared memory,
 * where `kilofork ctl` reads it, and emitted as an event.
 */
import { spawnSync } from "node:child_process";
import type { Order } from "../base/enumerations";
import { nameOfErrno } from "../base/errors";
import { supervisorPath } from "../base/paths";
import { compatibility } from "../native/processes";
import type { Scoreboard } from "../native/scoreboard";
import type { Tell } from "./events";
import type { LogFiles } from "./log-files";
import type { Supervisor } from "./supervisor";
import { nameSome, readUsers } from "./users";

/** Time limit for the supervisor's executable to answer --compatibility. */
const ANSWERS_WITHIN_MS = 2000;

interface Parts {
  readonly usersFile: string | undefined;
  readonly logFiles: LogFiles;
  readonly scoreboard: Scoreboard;
  /** Returns the present one. */
  readonly supervisor: () => Supervisor;
  readonly onUsers: (users: readonly string[]) => void;
  readonly tell: Tell;
}

export class Orders {
  constructor(private readonly parts: Parts) {}

  /** Reads the users again, and opens log and spawn log again if they were renamed. */
  reload(): void {
    this.carryOut(
      "reload",
      () => this.readUsers(),
      () => this.reopenLog(),
      () => this.reopenSpawnLog(),
    );
  }

  reopen(): void {
    this.carryOut(
      "reopen",
      () => this.reopenLog(),
      () => this.reopenSpawnLog(),
    );
  }

  /** Replaces all children, and the supervisor by the executable that is installed now. */
  replace(): void {
    this.carryOut("replace", () => this.replaceChildren());
  }

  /** Called when the new executable could be asked, but not started. */
  replaceFailed(errno: number): void {
    const text = `the new supervisor could not be started (${nameOfErrno(errno)}): the children are replaced by the old one`;
    this.answer("replace", false, text);
  }

  /** Orders all children to take the present log. */
  broadcastLog(): void {
    const { scoreboard, logFiles } = this.parts;
    scoreboard.setLogNumber(logFiles.number);
    this.orderLog(scoreboard.orderLog());
  }

  private orderLog(epoch: number): void {
    const { supervisor, logFiles } = this.parts;
    // Children may not be allowed to open the file, so they get its descriptor.
    supervisor().order(`log ${epoch}`, logFiles.log.fd);
  }

  private carryOut(order: Order, ...parts: readonly (() => string)[]): void {
    let ok = true;
    const said = parts.map((part) => {
      try {
        return part();
      } catch (error) {
        ok = false;
        return (error as Error).message;
      }
    });
    this.answer(order, ok, said.filter((text) => text !== "").join("; "));
  }

  private answer(order: Order, ok: boolean, text: string): void {
    this.parts.tell("answer", { order, ok, text });
    this.parts.scoreboard.setAnswer(order, ok, text);
  }

  private readUsers(): string {
    const { usersFile, scoreboard, onUsers } = this.parts;
    if (usersFile === undefined) return "no users file to read (--users)";
    const users = attempt("users kept as they were", () => readUsers(usersFile));
    scoreboard.setUsers(users);
    onUsers(users);
    return `users read again: ${nameSome(users)}`;
  }

  private reopenLog(): string {
    if (attempt("log kept as it was", () => this.parts.logFiles.reopenLog())) {
      this.broadcastLog();
      return "log opened again";
    }
    const { scoreboard } = this.parts;
    const { logSettled, logOrdered } = scoreboard.header();
    if (logSettled !== logOrdered) this.orderLog(logOrdered); // to children that missed it
    return "the log is still the same file";
  }

  private reopenSpawnLog(): string {
    const { logFiles, supervisor } = this.parts;
    if (!attempt("spawn log kept as it was", () => logFiles.reopenSpawnLog())) return "";
    supervisor().order("spawn-log", logFiles.spawnLog);
    return "spawn log opened again";
  }

  /** Starts no executable that could not take over from the running supervisor. */
  private replaceChildren(): string {
    const { stdout } = spawnSync(supervisorPath, ["--compatibility"], {
      encoding: "utf8",
      timeout: ANSWERS_WITHIN_MS,
      killSignal: "SIGKILL",
    });
    const compatible = stdout?.trim() === compatibility();
    this.parts.supervisor().order(compatible ? `replace ${supervisorPath}` : "replace");
    return compatible
      ? "replacing the supervisor and all children"
      : `replacing all children; the supervisor stays, since ${supervisorPath} cannot take over: start anew to change it`;
  }
}

/** Prefixes the error of `act`. */
function attempt<T>(failure: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new Error(`${failure}: ${(error as Error).message}`);
  }
}
