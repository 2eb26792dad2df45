/** What the audit is made of: requests in flight, and the clock of the log. All are pure. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SelectedRequests } from "../src/audit/concurrency";
import { LogClock, offsetAt } from "../src/audit/log-clock";

describe("requests in flight", () => {
  interface Change {
    readonly by: 1 | -1;
    readonly ms: number;
  }
  const START_MS = 1_000_000;
  /** Requests that begin and end, never fewer than none. */
  const changes = fc
    .array(fc.record({ begins: fc.boolean(), afterMs: fc.nat(3) }), { minLength: 1, maxLength: 30 })
    .map((steps) => {
      let ms = START_MS;
      let inFlight = 0;
      return steps.map(({ begins, afterMs }): Change => {
        const by = begins || inFlight === 0 ? 1 : -1;
        inFlight += by;
        ms += afterMs;
        return { by, ms };
      });
    });

  /** Looks at every stretch between two changes. */
  function expected(all: readonly Change[], endMs: number) {
    let inFlight = 0;
    const stretches = all.map(({ by, ms }, i) => {
      inFlight += by;
      return { inFlight, fromMs: ms, lastsMs: (all[i + 1]?.ms ?? endMs) - ms };
    });
    const peak = Math.max(...stretches.map((stretch) => stretch.inFlight));
    const atPeak = stretches.filter((stretch) => stretch.inFlight === peak);
    const peakHeldMs = Math.max(...atPeak.map(({ lastsMs }) => lastsMs));
    const lastMs = inFlight > 0 ? endMs : (all.at(-1)?.ms ?? 0);
    const averageOverMs = lastMs - (all[0]?.ms ?? 0);
    const area = stretches.reduce((sum, stretch) => sum + stretch.inFlight * stretch.lastsMs, 0);
    return {
      peak,
      pids: peak,
      peakHeldMs,
      peakFromMs: atPeak.find(({ lastsMs }) => lastsMs === peakHeldMs)?.fromMs,
      average: averageOverMs > 0 ? area / averageOverMs : 0,
      averageOverMs,
    };
  }

  test("have the peak, its longest stretch and the average of any sequence", () => {
    fc.assert(
      fc.property(changes, fc.nat(3), (all, afterMs) => {
        const seen: number[] = [];
        const requests = new SelectedRequests((_, inFlight) => seen.push(inFlight));
        for (const { ms, by } of all) requests.change(ms, by);
        const endMs = (all.at(-1)?.ms ?? 0) + afterMs;
        const { average, ...rest } = requests.report(endMs);
        const { average: mean, ...others } = expected(all, endMs);
        expect(rest).toMatchObject(others);
        expect(average).toBeCloseTo(mean, 9);
        expect(Math.max(...seen)).toBe(others.peak);
      }),
      { numRuns: 300 },
    );
  });

  test("are none where no request was selected", () => {
    const none = { count: 0, firstMs: 0, lastMs: 0 };
    expect(new SelectedRequests().report(START_MS)).toEqual({
      ...{ received: none, completed: none, peak: 0, pids: 0 },
      ...{ peakFromMs: 0, peakHeldMs: 0, average: 0, averageOverMs: 0 },
    });
  });

  test("span the first and the last time, in whatever order these come", () => {
    const requests = new SelectedRequests();
    for (const ms of [7, 5, 9, 8]) requests.received(ms);
    for (const ms of [12, 11]) requests.completed(ms);
    expect(requests.report(12)).toMatchObject({
      received: { count: 4, firstMs: 5, lastMs: 9 },
      completed: { count: 2, firstMs: 11, lastMs: 12 },
    });
  });

  test("last from the new time on when the clock is set back by more than a second", () => {
    const heldAfter = (backMs: number) => {
      const requests = new SelectedRequests();
      requests.change(START_MS, 1);
      requests.change(START_MS - backMs, 1);
      return requests.report(START_MS + 2000).peakHeldMs;
    };
    expect(heldAfter(1000)).toBe(2000);
    expect(heldAfter(1001)).toBe(3001);
  });
});

describe("the clock of the log", () => {
  const HOUR_MS = 3_600_000;
  const noonMs = Date.UTC(2026, 2, 29, 12);

  test("has each offset once, from the time that it was said", () => {
    const clock = new LogClock();
    expect(clock.isKnown).toBe(false);
    expect(clock.utcOf(noonMs)).toBe(noonMs);
    for (const minutes of [60, 60, 120, 120, 60]) clock.add(noonMs + minutes * 60_000, minutes);
    expect(clock.isKnown).toBe(true);
    expect(clock.offsets).toEqual([60, 120, 60].map((minutes) => ({ fromMs: noonMs, minutes })));
  });

  test("keeps the offset before for who read the time within a second before the change", () => {
    const clock = new LogClock();
    clock.add(noonMs - 5 * HOUR_MS, 60);
    // The first record with the offset comes some minutes after the change, at noon.
    clock.add(noonMs + 400_000 + 2 * HOUR_MS, 120);
    const utcOfLate = (ms: number) => clock.utcOf(noonMs + ms + HOUR_MS) - noonMs;
    expect([-1000, -500, -1].map(utcOfLate)).toEqual([-1000, -500, -1]);
    expect([-1001, 0].map(utcOfLate)).toEqual([-1001 - HOUR_MS, -HOUR_MS]);
    expect(clock.utcOf(noonMs + 2 * HOUR_MS)).toBe(noonMs);
  });

  test("has the offset of a time, and before the first one the first", () => {
    const offsets = [
      { fromMs: 1000, minutes: 60 },
      { fromMs: 2000, minutes: 120 },
    ];
    expect([999, 1000, 1999, 2000, 9999].map((ms) => offsetAt(offsets, ms))).toEqual([
      60, 60, 60, 120, 120,
    ]);
    expect(offsetAt([], 1000)).toBe(0);
  });
});
