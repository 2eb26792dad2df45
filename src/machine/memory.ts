/** The memory that the system has in use: proc_meminfo(5). */
import { setTimeout as sleep } from "node:timers/promises";
import { sum } from "../base/numbers";
import { bytesNamed, readNumber, readText } from "./files";

/** Of the whole system, in bytes. */
export interface SystemMemory {
  /** Memory that can still be given to processes. */
  readonly available: number;
  /**
   * Memory that processes hold, or the kernel for them: everything but caches. Its change is more
   * exact than that of `available`, since a virtual machine may return freed memory much later.
   */
  readonly inUse: number;
}

const HELD = ["AnonPages", "Shmem", "Slab", "KernelStack", "PageTables", "SecPageTables", "Percpu"];

export function readMemory(): SystemMemory {
  const text = readText("/proc/meminfo");
  return {
    available: bytesNamed("MemAvailable", text) ?? Number.NaN,
    inUse: sum(HELD.map((name) => bytesNamed(name, text) ?? 0)),
  };
}

/**
 * Bytes of the buffer that the kernel keeps for each process that has sent over TCP. They do not count
 * as in use. Source: task_frag in skb_page_frag_refill(), net/core/sock.c.
 */
export function sendFragment(): number {
  const HIGH_ORDER = 32 * 1024;
  const PAGE = 4096;
  // Infinity if there is no such file.
  const disabled = readNumber("/proc/sys/net/core/high_order_alloc_disable");
  return disabled === 1 ? PAGE : HIGH_ORDER;
}

/** Waits until the bytes in use no longer change, for at most 4 s; returns them. */
export async function settledMemory(): Promise<number> {
  const STILL_BYTES = 1 << 20;
  const SAMPLES_STILL = 3;
  const MOST_SAMPLES = 40;
  let last = readMemory().inUse;
  for (let samples = 0, still = 0; still < SAMPLES_STILL && samples < MOST_SAMPLES; samples++) {
    await sleep(100);
    const now = readMemory().inUse;
    still = Math.abs(now - last) < STILL_BYTES ? still + 1 : 0;
    last = now;
  }
  return last;
}
