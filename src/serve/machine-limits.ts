/** The limits of the machine on children: checked before a start, and named when a fork fails. */
import { constants } from "node:os";
import { KiloforkError, nameOfErrno } from "../base/errors";
import { plural } from "../base/units";
import {
  fitsMemory,
  fitsProcessLimits,
  nearestProcessLimit,
  problemsOfServer,
  readMachine,
  roomInKeeper,
} from "../machine/capacity";
import type { ServeOptions } from "./options";

const { ENOMEM, EAGAIN, EMFILE } = constants.errno;

/**
 * Throws ERR_MACHINE_LIMIT if the machine has no room for the pool. The error has the errno that
 * the system call would give: ENOMEM for memory, EAGAIN for processes, EMFILE for descriptors. It has
 * none for a backlog too long.
 */
export function requireRoom(options: ServeOptions): void {
  const { maxChildren, pool, backlog, runAs, processPer } = options;
  const machine = readMachine(runAs?.uid);
  const option = pool === "static" ? "--children" : "--max-children";
  const perRequest = processPer === "request";
  const need = { children: maxChildren, option, backlog, perRequest };
  const problems = problemsOfServer(machine, need);
  if (problems.length === 0) return;
  const details = !fitsMemory(machine, maxChildren)
    ? { errno: ENOMEM }
    : !fitsProcessLimits(machine, maxChildren)
      ? { errno: EAGAIN }
      : perRequest && maxChildren > roomInKeeper(machine)
        ? { errno: EMFILE }
        : {};
  throw new KiloforkError("ERR_MACHINE_LIMIT", problems.join("\n"), details);
}

/** The error of a start in which a fork failed. */
export function forkError(errno: number, alive: number, uid?: number): KiloforkError {
  const message = `${describeForkFailure(errno, alive, uid)}; raise it, or use fewer children`;
  return new KiloforkError("ERR_MACHINE_LIMIT", message, { errno, syscall: "fork" });
}

/** The error of a start, or of a new forker, on a kernel that refuses the filter of children. */
export function lockdownError(errno: number): KiloforkError {
  const message = `the kernel refuses the filter of system calls (${nameOfErrno(errno)} from PR_SET_SECCOMP), without which no child may serve; use a kernel with CONFIG_SECCOMP_FILTER, or install with KILOFORK_UNFILTERED=1 (docs/operations.md)`;
  return new KiloforkError("ERR_START", message, { errno, syscall: "prctl" });
}

/** `uid`: of the user of the children; without it, that of this process. */
export function describeForkFailure(errno: number, alive: number, uid?: number): string {
  const { name, remedy } = nearestProcessLimit(readMachine(uid));
  return `fork failed with ${nameOfErrno(errno)} beside ${plural(alive, "child", "children")}; the nearest limit is ${name} (${remedy})`;
}
