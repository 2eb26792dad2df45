/**
 * The selected requests of a run: how many were in flight, when and for how long. The order of the
 * calls is the order of events; times serve for durations only.
 */

export interface Span {
  readonly count: number;
  /** Milliseconds since 1970, 0 when there was none. */
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Selected are the requests of a client, those with a prefix, or all. */
export interface Concurrency {
  readonly received: Span;
  readonly completed: Span;
  /** The largest number received and not completed at one instant. */
  readonly peak: number;
  /** Distinct processes at the peak: each has received one of these requests. */
  readonly pids: number;
  /** The longest time at the peak: its beginning, since 1970, and its length. */
  readonly peakFromMs: number;
  readonly peakHeldMs: number;
  /** Mean number in flight, from the first received request to the end of the last. */
  readonly average: number;
  /** The length of that time, in milliseconds. */
  readonly averageOverMs: number;
}

/** Maximum time between two processes that read the clock and then write. */
const MOST_OUT_OF_ORDER_MS = 1000;

export class SelectedRequests {
  private readonly receivedTally = new Tally();
  private readonly completedTally = new Tally();
  private inFlight = 0;
  private lastEventMs = 0;
  private area = 0; // requests in flight x milliseconds
  private lastedMs = 0;
  private peak = 0;
  private atPeakSinceMs = -1; // -1: not at the peak
  private peakFromMs = 0;
  private peakHeldMs = 0;

  constructor(private readonly onChange?: (timeMs: number, inFlight: number) => void) {}

  received(timeMs: number): void {
    this.receivedTally.add(timeMs);
  }

  completed(timeMs: number): void {
    this.completedTally.add(timeMs);
  }

  /** Counts a request that begins or ends. */
  change(timeMs: number, by: 1 | 0 | -1): void {
    const back = this.lastEventMs - timeMs;
    // The clock was set back, or summer time ended: continue from the new time.
    if (back > MOST_OUT_OF_ORDER_MS) this.lastEventMs = timeMs;
    // Processes read the clock before they write, so times may be out of order.
    const now = Math.max(timeMs, this.lastEventMs);
    const passed = this.inFlight > 0 || by > 0 ? now - (this.lastEventMs || now) : 0;
    this.area += this.inFlight * passed;
    this.lastedMs += passed;
    this.lastEventMs = now;
    if (by < 0 && this.inFlight === this.peak) this.endStretch();
    this.inFlight += by;
    if (by > 0 && this.inFlight >= this.peak) {
      if (this.inFlight > this.peak) {
        this.peakHeldMs = 0;
        this.peakFromMs = now;
      }
      this.peak = this.inFlight;
      this.atPeakSinceMs = now;
    }
    this.onChange?.(now, this.inFlight);
  }

  /** `lastMs`: the time of the run's last record, until which open requests are in flight. */
  report(lastMs: number): Concurrency {
    this.change(lastMs, 0);
    this.endStretch();
    return {
      received: this.receivedTally.span(),
      completed: this.completedTally.span(),
      peak: this.peak,
      pids: this.peak, // a process has one open request at most
      peakFromMs: this.peakFromMs,
      peakHeldMs: this.peakHeldMs,
      average: this.lastedMs > 0 ? this.area / this.lastedMs : 0,
      averageOverMs: this.lastedMs,
    };
  }

  /** The number in flight leaves the peak: keeps the longest stretch. */
  private endStretch(): void {
    const held = this.atPeakSinceMs >= 0 ? this.lastEventMs - this.atPeakSinceMs : 0;
    if (held > this.peakHeldMs) {
      this.peakHeldMs = held;
      this.peakFromMs = this.atPeakSinceMs;
    }
    this.atPeakSinceMs = -1;
  }
}

class Tally {
  private count = 0;
  private firstMs = Number.POSITIVE_INFINITY;
  private lastMs = 0;

  add(timeMs: number): void {
    this.count++;
    if (timeMs < this.firstMs) this.firstMs = timeMs;
    if (timeMs > this.lastMs) this.lastMs = timeMs;
  }

  span(): Span {
    const { count, firstMs, lastMs } = this;
    return count === 0 ? { count, firstMs: 0, lastMs: 0 } : { count, firstMs, lastMs };
  }
}
