/** How busy the machine is: dropped connections, processors, memory. proc_net(5), proc_stat(5). */
import { sum } from "../base/numbers";
import { readText } from "./files";
import { readMemory } from "./memory";

/** Counted since this network namespace was created, over all its listening sockets. */
export interface ListenCounters {
  /** Connections that were ready to be accepted and found their queue full. */
  readonly overflows: number;
  /** Connections that were dropped for any reason. */
  readonly drops: number;
}

export function listenCounters(): ListenCounters {
  const [names = [], values = []] = readText("/proc/net/netstat")
    .split("\n")
    .filter((line) => line.startsWith("TcpExt:"))
    .map((line) => line.split(" "));
  const value = (name: string) => Number(values[names.indexOf(name)] ?? 0);
  return { overflows: value("ListenOverflows"), drops: value("ListenDrops") };
}

/** Ticks of all processors. Work of a lower priority counts as idle: it takes nothing from others. */
export interface CpuTimes {
  readonly busy: number;
  readonly all: number;
}

export function cpuTimes(): CpuTimes {
  const [, ...ticks] = readText("/proc/stat").split("\n", 1)[0]?.split(/\s+/) ?? [];
  const numbers = ticks.slice(0, 8).map(Number); // user contains guest already
  const all = sum(numbers);
  const [, nice = 0, , idle = 0, waiting = 0] = numbers;
  return { all, busy: all - nice - idle - waiting };
}

/** The share of the processors that was busy since `before`, 0 to 1. */
export function busyShare(before: CpuTimes, now = cpuTimes()): number {
  return (now.busy - before.busy) / Math.max(1, now.all - before.all);
}

const SAMPLE_EVERY_MS = 100;
const SAMPLES_A_SECOND = 1000 / SAMPLE_EVERY_MS;

/**
 * Samples memory and processors until it is stopped. Calls `onShortage` once, when less memory is
 * available than the floor.
 */
export class Watch {
  /** The most bytes that were in use. */
  mostMemory = 0;
  /** The busy share of the processors in the busiest second, 0 to 1. */
  busiestShare = 0;
  shortage = false;
  private readonly times: CpuTimes[] = [cpuTimes()];
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly floorBytes: number,
    private readonly onShortage: () => void,
  ) {
    this.timer = setInterval(() => this.sample(), SAMPLE_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private sample(): void {
    const { available, inUse } = readMemory();
    this.mostMemory = Math.max(this.mostMemory, inUse);
    if (available < this.floorBytes && !this.shortage) {
      this.shortage = true;
      this.onShortage();
    }
    const now = cpuTimes();
    this.times.push(now);
    if (this.times.length <= SAMPLES_A_SECOND) return;
    const before = this.times.shift() as CpuTimes;
    this.busiestShare = Math.max(this.busiestShare, busyShare(before, now));
  }
}
