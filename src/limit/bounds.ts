/**
 * The bounds of the search: for each limit of the machine, the number of clients that it allows, and
 * the setting that moves it. The search ends at the smallest bound.
 */
import type { ProcessPer } from "../base/protocol";
import { MOST_CHILDREN } from "../base/ranges";
import { showCount } from "../base/units";
import {
  BYTES_PER_CHILD,
  type Machine,
  OTHER_FILES,
  processLimits,
  roomInKeeper,
} from "../machine/capacity";

/** Processes that are left to others. */
const RESERVED_PROCESSES = 2000;
/** Maximum number of client processes of one trial; each has its own address, from 127.0.0.1 up. */
const MOST_CLIENT_PROCESSES = 16;
/** Maximum number of threads of the front or of a client process. */
const THREADS_OF_A_PROCESS = 16;
const CLIENTS_OF_A_PROCESS = 10_000;
/** What the front and a client process of a trial take before they serve or load: Node, some 25 MB each. */
const BYTES_OF_A_TRIAL = 2 * 25 * 2 ** 20;

export interface Bound {
  /** With its value: "kernel.pid_max 32768". */
  readonly name: string;
  /** The setting that moves it. */
  readonly setting: string;
  /** Clients at once that it allows. */
  readonly clients: number;
}

export interface BoundOptions {
  readonly processPer: ProcessPer;
  readonly maxClients: number | undefined;
  /** Maximum share of the memory of the system in use, 0 to 1. */
  readonly maxMemoryShare: number;
}

/** Returns the bounds, the smallest first. */
export function boundsOf(machine: Machine, options: BoundOptions): Bound[] {
  const { maxClients, maxMemoryShare, processPer } = options;
  const bounds: Bound[] = processLimits(machine).map(({ name, remedy, left }) => ({
    name,
    setting: remedy,
    clients: roomFor(left),
  }));
  bounds.push(
    {
      name: `memory, ${Math.round(maxMemoryShare * 100)}% of ${showCount(machine.memoryTotal / 2 ** 20)} MB`,
      setting: "--max-memory, or more memory",
      clients: childrenIn(memoryBudget(machine, maxMemoryShare)),
    },
    {
      name: `memory, ${Math.round(maxMemoryShare * 100)}% of ${showCount(machine.cgroupMemoryMax / 2 ** 20)} MB of the cgroup`,
      setting: "--max-memory, systemd: MemoryMax=, docker: --memory",
      clients: childrenIn(maxMemoryShare * machine.cgroupMemoryMax - machine.cgroupMemory),
    },
    {
      name: `${MOST_CLIENT_PROCESSES} client processes with ${machine.filesMax} open files each`,
      setting: "ulimit -n, systemd: LimitNOFILE=",
      clients: MOST_CLIENT_PROCESSES * (machine.filesMax - OTHER_FILES),
    },
    {
      name: `${machine.ephemeralPorts} ephemeral ports of each of ${MOST_CLIENT_PROCESSES} addresses`,
      setting: "sysctl net.ipv4.ip_local_port_range",
      clients: MOST_CLIENT_PROCESSES * machine.ephemeralPorts,
    },
    { name: "children of one server", setting: "none", clients: MOST_CHILDREN },
  );
  if (processPer === "request")
    bounds.push({
      name: `the keeper with ${machine.filesMax} open files`,
      setting: "ulimit -n, systemd: LimitNOFILE=",
      clients: roomInKeeper(machine),
    });
  if (maxClients !== undefined)
    bounds.push({
      name: `--max-clients ${maxClients}`,
      setting: "--max-clients",
      clients: maxClients,
    });
  return bounds
    .filter(({ clients }) => clients <= MOST_CHILDREN)
    .map((bound) => ({ ...bound, clients: Math.max(0, bound.clients) }))
    .sort((a, b) => a.clients - b.clients);
}

/** Children that fit into so much memory, beside the other processes of a trial. */
const childrenIn = (bytes: number) => Math.floor((bytes - BYTES_OF_A_TRIAL) / BYTES_PER_CHILD);

/** Children that fit into so many tasks, beside the reserve and the other processes of a trial. */
function roomFor(tasks: number): number {
  const clients = Math.min(MOST_CLIENT_PROCESSES, Math.ceil(tasks / CLIENTS_OF_A_PROCESS));
  return tasks - RESERVED_PROCESSES - 1 - THREADS_OF_A_PROCESS * (1 + clients);
}

/** Bytes that can be taken until this share of the memory is in use. */
export function memoryBudget(
  { memoryTotal, memoryAvailable }: Pick<Machine, "memoryTotal" | "memoryAvailable">,
  share: number,
): number {
  return memoryAvailable - (1 - share) * memoryTotal;
}

/** Number of client processes that a trial needs, by descriptors and ports. */
export function clientProcesses(
  clients: number,
  machine: Pick<Machine, "filesMax" | "ephemeralPorts">,
): number {
  const most = Math.min(machine.filesMax - OTHER_FILES, machine.ephemeralPorts);
  const fitting = Math.ceil(clients / Math.min(most, CLIENTS_OF_A_PROCESS));
  // Prefer larger shares to too many processes, where the limits allow that.
  return Math.min(fitting, Math.max(MOST_CLIENT_PROCESSES, Math.ceil(clients / most)));
}
