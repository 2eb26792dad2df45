/** What the machine says while a trial runs: proc_pid_net(5), proc_stat(5), proc_meminfo(5). */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { readMemory, readNumber } from "./capacity";

/** Of all listening sockets of this network namespace, since it began: others may be in it. */
export interface ListenCounters {
  /** Connections that were ready to be accepted and found their queue full. */
  readonly overflows: number;
  /** With every other reason to drop one. */
  readonly drops: number;
}

export function listenCounters(): ListenCounters {
  const [names = [], values = []] = readFileSync("/proc/net/netstat", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("TcpExt:"))
    .map((line) => line.split(" "));
  const value = (name: string) => Number(values[names.indexOf(name)] ?? 0);
  return { overflows: value("ListenOverflows"), drops: value("ListenDrops") };
}

/** Bytes that are a process's own, and its share of what it shares; 0 when it is gone. */
export function processMemory(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/**
 * Bytes that a process holds which has sent anything over TCP, and that do not count as in use: the
 * piece that the kernel cuts what it sends from, task_frag in skb_page_frag_refill() of
 * net/core/sock.c.
 */
export function sendFragment(): number {
  const HIGH_ORDER = 32 * 1024;
  const PAGE = 4096;
  const disabled = readNumber("/proc/sys/net/core/high_order_alloc_disable"); // infinite: no such file
  return disabled === 1 ? PAGE : HIGH_ORDER;
}

/** Bytes in use, when they have not moved for a while, or have moved for long. */
export async function settledMemory(): Promise<number> {
  const STILL_BYTES = 1 << 20;
  const LOOKS_STILL = 3;
  const MOST_LOOKS = 40;
  let last = readMemory().inUse;
  for (let looks = 0, still = 0; still < LOOKS_STILL && looks < MOST_LOOKS; looks++) {
    await sleep(100);
    const now = readMemory().inUse;
    still = Math.abs(now - last) < STILL_BYTES ? still + 1 : 0;
    last = now;
  }
  return last;
}

/** Of the processors, since `before`: 0 to 1. */
export function busyShare(before: CpuTimes, now = cpuTimes()): number {
  return (now.busy - before.busy) / Math.max(1, now.all - before.all);
}

/** What runs at a lower priority takes nothing from others: it counts as idle. */
export interface CpuTimes {
  readonly busy: number;
  readonly all: number;
}

export function cpuTimes(): CpuTimes {
  const [, ...ticks] = readFileSync("/proc/stat", "utf8").split("\n", 1)[0]?.split(/\s+/) ?? [];
  const numbers = ticks.slice(0, 8).map(Number); // guests are in user already
  const all = numbers.reduce((sum, number) => sum + number, 0);
  const [, nice = 0, , idle = 0, waiting = 0] = numbers;
  return { all, busy: all - nice - idle - waiting };
}

/**
 * Looks at memory and processors all through a trial. `onShortage` is called once when less memory
 * is available than is to be left.
 */
export class Watch {
  /** The most bytes that were in use. */
  mostMemory = 0;
  /** Of the processors, in the busiest second: 0 to 1. */
  busiestShare = 0;
  shortage = false;
  private readonly times: CpuTimes[] = [cpuTimes()];
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly floorBytes: number,
    private readonly onShortage: () => void,
  ) {
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const { available, inUse } = readMemory();
    this.mostMemory = Math.max(this.mostMemory, inUse);
    if (available < this.floorBytes && !this.shortage) {
      this.shortage = true;
      this.onShortage();
    }
    const now = cpuTimes();
    this.times.push(now);
    if (this.times.length <= LOOKS_A_SECOND) return;
    const before = this.times.shift() as CpuTimes;
    this.busiestShare = Math.max(this.busiestShare, busyShare(before, now));
  }
}

const LOOK_EVERY_MS = 100;
const LOOKS_A_SECOND = 1000 / LOOK_EVERY_MS;
