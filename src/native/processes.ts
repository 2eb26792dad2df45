/** Processes: the supervisor that a front starts, its end, and the limits of this process. */
import { addon } from "./addon";

export interface SupervisorOptions {
  readonly executable: string;
  readonly segmentName: string;
  // Descriptors.
  readonly listener: number;
  readonly log: number;
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

interface ProcessesAddon {
  readonly compatibility: string;
  startSupervisor(options: SupervisorOptions): StartedSupervisor;
  sendControl(fd: number, line: string, passedFd?: number): boolean;
  reap(pid: number): { exit: number } | { signal: number } | null;
  reapStranger(own: number): boolean;
  closeOnExec(fd: number): void;
  notify(state: string): boolean;
  limits(): { files: number; processes: number };
}

const native = () => addon<ProcessesAddon>();

export function startSupervisor(options: SupervisorOptions): StartedSupervisor {
  return native().startSupervisor(options);
}

/** What a supervisor's executable prints for --compatibility if it can take over from a running one. */
export function compatibility(): string {
  return native().compatibility;
}

/** Sends a line to the supervisor, and a descriptor with it; false when the supervisor is gone. */
export function sendControl(fd: number, line: string, passedFd?: number): boolean {
  return native().sendControl(fd, line, passedFd);
}

/** How a child of this process ended, or null while it runs. */
export function reap(pid: number): { exit: number } | { signal: number } | null {
  return native().reap(pid);
}

/** Reaps one child other than `own` that has ended; false when there is none. */
export function reapStranger(own: number): boolean {
  return native().reapStranger(own);
}

/** No process that this one starts from now on inherits the descriptor. */
export function closeOnExec(fd: number): void {
  native().closeOnExec(fd);
}

/** Tells the service manager, if there is one: sd_notify(3). */
export function notify(state: string): boolean {
  return native().notify(state);
}

/** RLIMIT_NOFILE (hard) and RLIMIT_NPROC (soft); Infinity where there is none. */
export function limits(): { files: number; processes: number } {
  return native().limits();
}
