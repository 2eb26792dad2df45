/**
 * The capacity of the machine: its limits, and whether a server or a client fits into them. Read
 * before anything is started. proc(5), cgroups(7), getrlimit(2).
 */
import { readdirSync, readlinkSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { showCount } from "../base/units";
import { cgroupLimits, limits } from "../native/processes";
import { readNumber, readNumbers, readText } from "./files";
import { readMemory } from "./memory";

/** Memory of the system that one child takes, page tables included: see docs/operations.md. */
export const BYTES_PER_CHILD = 130 * 1024;
/** Bytes of memory that a growing pool leaves to others. */
export const MEMORY_RESERVE = 64 * 2 ** 20;
/** Length of the accept queue where nothing holds it to less. */
export const DEFAULT_BACKLOG = 4096;
/** Processes that are left to others. */
const PROCESS_RESERVE = 100;
/** Descriptors of the front, and those of its supervisor on their way. */
const SERVER_FILES = 80;
const SOMAXCONN = "/proc/sys/net/core/somaxconn";

/** Infinity: no limit. Memory in bytes. */
export interface Machine {
  readonly cpus: number;
  readonly pidMax: number;
  readonly threadsMax: number;
  /** Threads and processes that exist now, this one included. */
  readonly tasks: number;
  /** Those of them that kernel.pid_max counts. */
  readonly pids: number;
  readonly cgroupPidsMax: number;
  readonly cgroupPids: number;
  /** RLIMIT_NPROC of the user; the superuser is exempt from it. */
  readonly userProcessesMax: number;
  /** Threads and processes of the user; 0 if there is no limit. */
  readonly userTasks: number;
  readonly filesMax: number;
  readonly somaxconn: number;
  /** Or memory.high, above which the kernel slows a cgroup down without end. */
  readonly cgroupMemoryMax: number;
  /** Without the cache of files, which the kernel takes back when memory is needed. */
  readonly cgroupMemory: number;
  readonly memoryTotal: number;
  readonly memoryAvailable: number;
  readonly ephemeralPorts: number;
}

/** `uid`: of the user whose processes are meant. */
export function readMachine(uid = process.getuid?.() ?? 0): Machine {
  const { files, processes } = limits();
  const userProcessesMax = uid === 0 ? Number.POSITIVE_INFINITY : processes;
  const [firstPort = 32768, lastPort = 60999] = readNumbers(
    "/proc/sys/net/ipv4/ip_local_port_range",
  );
  const threads = Number(/\/(\d+) /.exec(readText("/proc/loadavg"))?.[1] ?? 0);
  const { memory, tasks } = cgroupLimits();
  return {
    cpus: cpus().length,
    pidMax: readNumber("/proc/sys/kernel/pid_max"),
    threadsMax: readNumber("/proc/sys/kernel/threads-max"),
    tasks: threads,
    pids: hasOwnPidMax() ? countTasks() : threads,
    cgroupPidsMax: tasks.max,
    cgroupPids: tasks.used,
    cgroupMemoryMax: memory.max,
    cgroupMemory: memory.used,
    userProcessesMax,
    userTasks: Number.isFinite(userProcessesMax) ? countTasks(uid) : 0,
    filesMax: files,
    somaxconn: readNumber(SOMAXCONN),
    memoryTotal: totalmem(),
    memoryAvailable: readMemory().available,
    ephemeralPorts: lastPort - firstPort + 1,
  };
}

export interface MachineLimit {
  /** With its value: "kernel.pid_max 32768". */
  readonly name: string;
  /** How to raise it. */
  readonly remedy: string;
  /** Processes that may still be started; of a limit of memory, bytes. */
  readonly left: number;
}

export function processLimits(machine: Machine): MachineLimit[] {
  return [
    {
      name: `kernel.pid_max ${machine.pidMax}`,
      remedy: "sysctl kernel.pid_max",
      left: machine.pidMax - machine.pids,
    },
    {
      name: `kernel.threads-max ${machine.threadsMax}`,
      remedy: "sysctl kernel.threads-max",
      left: machine.threadsMax - machine.tasks,
    },
    {
      name: `pids.max ${machine.cgroupPidsMax} of the cgroup`,
      remedy: "systemd: TasksMax=, docker: --pids-limit",
      left: machine.cgroupPidsMax - machine.cgroupPids,
    },
    {
      name: `the limit of ${machine.userProcessesMax} processes a user`,
      remedy: "ulimit -u, systemd: LimitNPROC=",
      left: machine.userProcessesMax - machine.userTasks,
    },
  ];
}

/** The limit that most likely made a fork fail. */
export function nearestProcessLimit(machine: Machine): MachineLimit {
  return processLimits(machine).reduce((a, b) => (b.left < a.left ? b : a));
}

/** Children that may be started within a limit, beside the supervisor and the reserve. */
const roomWithin = ({ left }: MachineLimit) => Math.max(0, left - PROCESS_RESERVE - 1);

export function fitsProcessLimits(machine: Machine, children: number): boolean {
  return processLimits(machine).every((limit) => children <= roomWithin(limit));
}

export function fitsMemory(machine: Machine, children: number): boolean {
  return children * BYTES_PER_CHILD <= memoryLeft(machine).left;
}

/** What `listen(2)` does not cut. */
export function defaultBacklog(somaxconn = readNumber(SOMAXCONN)): number {
  return Math.min(DEFAULT_BACKLOG, somaxconn);
}

/** Descriptors of a client or keeper that are no connections, and of no children. */
export const OTHER_FILES = 64;

/**
 * Children that a keeper has room for, with a connection each: it has a descriptor for each child and
 * for each connection.
 */
export function roomInKeeper({ filesMax }: Machine): number {
  return Math.max(0, Math.floor((filesMax - OTHER_FILES) / 2));
}

/**
 * Returns a sentence with a remedy for each limit that is too low. `option` sets the children;
 * `perRequest`: a keeper has the connections.
 */
export function problemsOfServer(
  machine: Machine,
  need: { children: number; option: string; backlog: number; perRequest?: boolean },
): string[] {
  const wanted = `${showCount(need.children)} children do not fit`;
  const problems: string[] = [];
  for (const limit of processLimits(machine)) {
    const { name, remedy } = limit;
    const room = roomWithin(limit);
    if (need.children > room)
      problems.push(
        `${wanted}: ${name} leaves room for ${showCount(room)}; raise it (${remedy}) or lower ${need.option}`,
      );
  }
  if (machine.filesMax < SERVER_FILES)
    problems.push(
      `the limit of ${machine.filesMax} open files is too low: a server needs ${SERVER_FILES}; raise it (ulimit -n, systemd: LimitNOFILE=)`,
    );
  const memory = memoryLeft(machine);
  if (!fitsMemory(machine, need.children))
    problems.push(
      `${wanted}: ${showCount(memory.left / 2 ** 20)} MB of ${memory.name} leave room for ${showCount(Math.floor(memory.left / BYTES_PER_CHILD))}; ${memory.remedy} or lower ${need.option}`,
    );
  if (need.perRequest && need.children > roomInKeeper(machine))
    problems.push(
      `${wanted}: the limit of ${machine.filesMax} open files leaves room in the keeper for ${showCount(roomInKeeper(machine))}, with a connection each; raise it (ulimit -n, systemd: LimitNOFILE=) or lower ${need.option}`,
    );
  if (need.backlog > machine.somaxconn)
    problems.push(
      `a backlog of ${need.backlog} is more than net.core.somaxconn ${machine.somaxconn}; raise that (sysctl net.core.somaxconn) or use --backlog ${machine.somaxconn}`,
    );
  return problems;
}

/** What the system or the cgroup has left, whichever is less. */
function memoryLeft({ memoryAvailable, cgroupMemoryMax, cgroupMemory }: Machine): MachineLimit {
  const ofCgroup = Math.max(0, cgroupMemoryMax - cgroupMemory);
  if (ofCgroup >= memoryAvailable)
    return { name: "available memory", remedy: "free some", left: memoryAvailable };
  return {
    name: `available memory in the cgroup, whose limit is ${showCount(cgroupMemoryMax / 2 ** 20)} MB,`,
    remedy: "raise it (systemd: MemoryMax=, docker: --memory)",
    left: ofCgroup,
  };
}

/** Returns a sentence with a remedy for each limit that is too low for so many connections. */
export function problemsOfClient(machine: Machine, need: { clients: number }): string[] {
  const problems: string[] = [];
  if (need.clients + OTHER_FILES > machine.filesMax)
    problems.push(
      `${showCount(need.clients)} clients do not fit: the limit of ${machine.filesMax} open files leaves room for ${showCount(machine.filesMax - OTHER_FILES)}; raise it (ulimit -n) or use fewer`,
    );
  if (need.clients > machine.ephemeralPorts)
    problems.push(
      `${showCount(need.clients)} clients do not fit: net.ipv4.ip_local_port_range has ${showCount(machine.ephemeralPorts)} ports for one destination; widen it or use fewer, or several clients with --from`,
    );
  return problems;
}

/**
 * How many more connections fit beside those of the clients, with a process for each request: into
 * the keeper, which has a descriptor for each child, too, and into the ports.
 */
export function roomForSilent(
  { filesMax, ephemeralPorts }: Machine,
  { clients, children }: { clients: number; children: number },
): number {
  const files = filesMax - OTHER_FILES - children - clients;
  return Math.max(0, Math.min(files, ephemeralPorts - clients));
}

/**
 * Whether kernel.pid_max is that of a pid namespace other than the first one. Since Linux 6.14, each has
 * its own. pid_namespaces(7)
 */
function hasOwnPidMax(): boolean {
  const FIRST = "pid:[4026531836]"; // PROC_PID_INIT_INO of the kernel
  const [major = 0, minor = 0] = release().split(".").map(Number);
  if (major < 6 || (major === 6 && minor < 14)) return false;
  try {
    return readlinkSync("/proc/self/ns/pid") !== FIRST;
  } catch {
    return false;
  }
}

/**
 * Counts the threads of this pid namespace; those of one user, by their real user, as the kernel does for
 * RLIMIT_NPROC.
 */
function countTasks(uid?: number): number {
  let tasks = 0;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const status = readText(`/proc/${name}/status`);
    if (uid === undefined || Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]) === uid)
      tasks += Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  }
  return tasks;
}
