/** Refuses a measurement that the machine has no room for. */
import { problemsOfClient, readMachine } from "../../src/machine/capacity";
import { readMemory } from "../../src/machine/memory";
import { LeftOut } from "./installed";

/** The share of the available memory that a measurement may take. */
const MEMORY_SHARE = 0.7;
/** Processes that are left to the rest of the system. */
const PROCESS_RESERVE = 2000;

/** Throws LeftOut if the machine has no room for this many processes with this much memory each. */
export function requireRoomFor(processes: number, kilobytesEach: number): void {
  const { pidMax, threadsMax, tasks, cgroupPids, cgroupPidsMax } = readMachine();
  const free = Math.min(pidMax - tasks, threadsMax - tasks, cgroupPidsMax - cgroupPids);
  if (processes > free - PROCESS_RESERVE)
    throw new LeftOut(`${processes} processes are too many: there is room for ${free}`);
  const needed = processes * kilobytesEach * 1024;
  const { available } = readMemory();
  if (needed > MEMORY_SHARE * available) {
    const gigabytes = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
    throw new LeftOut(
      `needs ${gigabytes(needed)} GiB of memory, there are ${gigabytes(available)}`,
    );
  }
}

/** Throws LeftOut if this process cannot hold this many connections. */
export function requireRoomForClients(clients: number): void {
  const [problem] = problemsOfClient(readMachine(), { clients });
  if (problem !== undefined) throw new LeftOut(problem);
}
