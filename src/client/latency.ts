/** Histograms of latencies, which can be merged over threads and processes. */
import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
} from "hdr-histogram-js";

/** In milliseconds; all are 0 when nothing was measured. */
export interface Percentiles {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/**
 * connect: from connect() to the greeting. reply: from the (intended) send to the reply; for a send
 * that fell due and was never made, to the end of the load. beyond: reply less the server's work. lag:
 * from the arrival of a reply in the kernel until the client reads it; of a late or missing send, the
 * time that it was late because the client did not run.
 */
const MEASURES = ["connect", "reply", "beyond", "lag"] as const;
export type Measure = (typeof MEASURES)[number];

export class Latency {
  private readonly histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 3_600_000_000, // an hour
    numberOfSignificantValueDigits: 3,
    autoResize: true,
    useWebAssembly: false,
  });

  /** An empty histogram whose code is compiled: compiling would stall the thread under load. */
  static warm(): Latency {
    const latency = new Latency();
    latency.record(Float64Array.from({ length: 2000 }, (_, i) => i * 1000));
    latency.histogram.reset();
    return latency;
  }

  /** Records each value minus `less`, but at least 0. */
  record(microseconds: Float64Array, less = 0): void {
    for (const value of microseconds)
      this.histogram.recordValue(Math.max(0, Math.round(value - less)));
  }

  /** Records values that stand for `count`, each for about as many. */
  recordFor(count: number, microseconds: Float64Array): void {
    const before = (i: number) => Math.floor((count * i) / microseconds.length);
    for (const [i, value] of microseconds.entries())
      this.histogram.recordValueWithCount(Math.round(value), before(i + 1) - before(i));
  }

  /** Encodes the histogram, so that another thread or process can {@link merge} it. */
  encode(): string {
    return encodeIntoCompressedBase64(this.histogram);
  }

  merge(encoded: string): void {
    this.histogram.add(decodeFromCompressedBase64(encoded));
  }

  percentiles(): Percentiles {
    const ms = (percentile: number) => this.histogram.getValueAtPercentile(percentile) / 1000;
    const count = this.histogram.totalCount;
    return {
      count,
      mean: count === 0 ? 0 : this.histogram.mean / 1000,
      p50: ms(50),
      p90: ms(90),
      p99: ms(99),
      p999: ms(99.9),
      max: count === 0 ? 0 : this.histogram.maxValue / 1000,
    };
  }
}

/** Encodes each, so that another thread or process can merge them. */
export function encodeAll(latencies: Record<Measure, Latency>): Record<Measure, string> {
  return Object.fromEntries(
    MEASURES.map((measure) => [measure, latencies[measure].encode()]),
  ) as Record<Measure, string>;
}
