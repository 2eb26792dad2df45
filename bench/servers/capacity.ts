/** Whether the machine has room for a measurement, so that none does harm to it. */
import { problemsOfClient, readMachine } from "../../src/machine/capacity";
import { readMemory } from "../../src/machine/memory";
import { LeftOut } from "./installed";

/** Of the memory that is available. */
const MEMORY_SHARE = 0.7;
const PROCESS_RESERVE = 2000;

/** Throws LeftOut when so many processes, each with so much memory of its own, are too many. */
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

/** Throws LeftOut when this process cannot hold so many connections. */
export function requireRoomForClients(clients: number): void {
  const [problem] = problemsOfClient(readMachine(), { clients });
  if (problem !== undefined) throw new LeftOut(problem);
}
