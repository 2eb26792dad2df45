/** Processes: starts and reaps the supervisor; limits and descriptors of this process. */
import { addon } from "./addon";

export interface SupervisorOptions {
  readonly executable: string;
  readonly segmentName: string;
  // Descriptors.
  readonly listener: number;
  readonly log: number;
  /** What the spool of the log is copied to; -1: no spool. */
  readonly logReader: number;
  readonly segment: number;
  readonly spawnLog: number;
  readonly runAs: { readonly uid: number; readonly gid: number } | undefined;
}

export interface StartedSupervisor {
  readonly pid: number;
  /** Descriptors, which the caller closes. */
  readonly control: number;
  readonly lifeline: number;
}

/** Infinity: no limit. */
export interface CgroupLimit {
  readonly max: number;
  readonly used: number;
}

interface ProcessesAddon {
  readonly compatibility: string;
  startSupervisor(options: SupervisorOptions): StartedSupervisor;
  sendControl(fd: number, line: string, passedFd?: number): boolean;
  reap(pid: number): { exit: number } | { signal: number } | null;
  reapStranger(own: number): boolean;
  closeOnExec(fd: number): void;
  lockFile(fd: number): boolean;
  notify(state: string): boolean;
  limits(): { files: number; processes: number };
  cgroupLimits(): { memory: CgroupLimit; tasks: CgroupLimit };
}

const native = () => addon<ProcessesAddon>();

/** Throws a SystemError. */
export function startSupervisor(options: SupervisorOptions): StartedSupervisor {
  return native().startSupervisor(options);
}

/** The text that a supervisor's executable prints for --compatibility if it can take over. */
export function compatibility(): string {
  return native().compatibility;
}

/**
 * Sends a line to the supervisor, with a descriptor if given; false if the socket has no room. Does
 * nothing if the supervisor is gone.
 */
export function sendControl(fd: number, line: string, passedFd?: number): boolean {
  return native().sendControl(fd, line, passedFd);
}

/** Reaps a child of this process, without waiting. Returns how it ended, or null if it runs. */
export function reap(pid: number): { exit: number } | { signal: number } | null {
  return native().reap(pid);
}

/** Reaps one child other than `own` that has ended; false if there is none. */
export function reapStranger(own: number): boolean {
  return native().reapStranger(own);
}

/** Sets FD_CLOEXEC: processes started from now on do not inherit the descriptor. */
export function closeOnExec(fd: number): void {
  native().closeOnExec(fd);
}

/** Locks a file until the descriptor is closed; false if another process has it locked. flock(2). */
export function lockFile(fd: number): boolean {
  return native().lockFile(fd);
}

/** Notifies the service manager; false if there is none. sd_notify(3). */
export function notify(state: string): boolean {
  return native().notify(state);
}

/** RLIMIT_NOFILE (hard) and RLIMIT_NPROC (soft); Infinity: no limit. */
export function limits(): { files: number; processes: number } {
  return native().limits();
}

/**
 * The tightest limits of the cgroup of this process and those above it, of version 1 or 2: bytes of
 * memory, without the cache of files, and tasks.
 */
export function cgroupLimits(): { memory: CgroupLimit; tasks: CgroupLimit } {
  return native().cgroupLimits();
}
