/**
 * What the machine allows beforehand: for each of its limits, how many clients it lets be served at
 * once, and what moves it. The smallest is where the search ends; none of them is ever changed here.
 */
import { MOST_CHILDREN } from "../base/ranges";
import { showCount } from "../base/units";
import { BYTES_PER_CHILD, type Machine, OTHER_FILES, processLimits } from "../machine/capacity";

/** For whatever else the machine has to do meanwhile. */
export const RESERVED_PROCESSES = 2000;
/** Client processes of one trial; each has an address of its own, 127.0.0.1 and following. */
export const MOST_CLIENT_PROCESSES = 16;
/** Of a Node.js process that is ours, at the most. */
const THREADS_OF_A_PROCESS = 16;
const CLIENTS_OF_A_PROCESS = 10_000;

export interface Bound {
  /** With its value: "kernel.pid_max 32768". */
  readonly name: string;
  /** How to move it. */
  readonly setting: string;
  /** How many clients it lets be served at once. */
  readonly clients: number;
}

export interface Wishes {
  readonly maxClients: number | undefined;
  /** Of all memory, in use by us and others. */
  readonly maxMemoryShare: number;
}

/** The smallest first; without what limits nothing. */
export function boundsOf(machine: Machine, wishes: Wishes): Bound[] {
  const { maxClients, maxMemoryShare } = wishes;
  const bounds: Bound[] = processLimits(machine).map(({ name, remedy, left }) => ({
    name,
    setting: remedy,
    clients: roomFor(left),
  }));
  bounds.push(
    {
      name: `memory, ${Math.round(maxMemoryShare * 100)}% of ${showCount(machine.memoryTotal / 2 ** 20)} MB`,
      setting: "--max-memory, or more memory",
      clients: Math.floor(memoryBudget(machine, maxMemoryShare) / BYTES_PER_CHILD),
    },
    {
      name: `memory, ${Math.round(maxMemoryShare * 100)}% of ${showCount(machine.cgroupMemoryMax / 2 ** 20)} MB of the cgroup`,
      setting: "--max-memory, systemd: MemoryMax=, docker: --memory",
      clients: Math.floor(
        (maxMemoryShare * machine.cgroupMemoryMax - machine.cgroupMemory) / BYTES_PER_CHILD,
      ),
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

/** Children that fit among so many tasks, beside the reserve, supervisor, front and client processes. */
function roomFor(tasks: number): number {
  const clients = Math.min(MOST_CLIENT_PROCESSES, Math.ceil(tasks / CLIENTS_OF_A_PROCESS));
  return tasks - RESERVED_PROCESSES - 1 - THREADS_OF_A_PROCESS * (1 + clients);
}

/** Bytes that may still be taken before so large a share of the memory is in use. */
export function memoryBudget(
  { memoryTotal, memoryAvailable }: Pick<Machine, "memoryTotal" | "memoryAvailable">,
  share: number,
): number {
  return memoryAvailable - (1 - share) * memoryTotal;
}

/** How the clients of a trial are split over processes: by descriptors and ports, evenly. */
export function clientProcesses(
  clients: number,
  machine: Pick<Machine, "filesMax" | "ephemeralPorts">,
): number {
  const most = Math.min(machine.filesMax - OTHER_FILES, machine.ephemeralPorts);
  const fitting = Math.ceil(clients / Math.min(most, CLIENTS_OF_A_PROCESS));
  // Where the limits allow more in one, rather a larger share than too many processes.
  return Math.min(fitting, Math.max(MOST_CLIENT_PROCESSES, Math.ceil(clients / most)));
}
