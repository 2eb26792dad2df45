/**
 * Turns the local times of a run's records into UTC. The log says its offset from UTC at the start of
 * the run, and each other one before the first record that has it.
 */

export interface UtcOffset {
  /** Since 1970. */
  readonly fromMs: number;
  /** Local time is so far ahead of UTC. */
  readonly minutes: number;
}

/** Maximum time between two processes that read the clock and then write. */
const LATE_WRITER_MS = 1000;
/** Offsets change at quarters of an hour. */
const QUARTER_MS = 15 * 60_000;

export class LogClock {
  readonly offsets: UtcOffset[] = [];

  get isKnown(): boolean {
    return this.offsets.length > 0;
  }

  /** A record at that local time says an offset. */
  add(localMs: number, minutes: number): void {
    if (this.offsets.at(-1)?.minutes === minutes) return;
    this.offsets.push({ fromMs: localMs - minutes * 60_000, minutes });
  }

  /** The time itself as long as no offset is known. */
  utcOf(localMs: number): number {
    const last = this.offsets.at(-1);
    if (!last) return localMs;
    const before = this.offsets.at(-2);
    if (before) {
      // A process may read the clock just before the change, and write after it.
      const changeMs = Math.floor(last.fromMs / QUARTER_MS) * QUARTER_MS;
      const late = localMs - before.minutes * 60_000;
      if (late < changeMs && late >= changeMs - LATE_WRITER_MS) return late;
    }
    return localMs - last.minutes * 60_000;
  }
}

/** The offset at a time, of those of a run. */
export function offsetAt(offsets: readonly UtcOffset[], ms: number): number {
  return (offsets.findLast(({ fromMs }) => fromMs <= ms) ?? offsets[0])?.minutes ?? 0;
}
