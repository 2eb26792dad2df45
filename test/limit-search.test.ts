/** The search for the limit, against simulated machines that break at a given load. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { LimitResult } from "../src/limit/result";
import { type Found, type Outcome, search } from "../src/limit/search";
import { showFound } from "../src/limit/text";

/** A machine that holds up to `limit`, and keeps the loads that were tried. */
async function find(
  limit: number,
  { first = 1000, max = 1_000_000, repeats = 1 } = {},
): Promise<Found & { tried: number[] }> {
  const tried: number[] = [];
  const attempt = async (load: number): Promise<Outcome> => {
    tried.push(load);
    return load <= limit ? "held" : "broke";
  };
  return { ...(await search({ first, max, repeats, attempt })), tried };
}

test("finds the limit to 3 percent, or exactly where that is less than one", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 1, max: 1_000_000 }),
      async (limit, first, max) => {
        const { held, broke, complete, tried } = await find(limit, { first, max });
        expect(complete).toBe(true);
        expect(held).toBeLessThanOrEqual(limit);
        expect(Math.max(...tried)).toBeLessThanOrEqual(max);
        if (broke === null) expect(held).toBe(max);
        else {
          expect(broke).toBeGreaterThan(limit);
          expect(broke - held).toBeLessThanOrEqual(Math.max(1, held * 0.03));
        }
        expect(new Set(tried).size).toBe(tried.length);
        expect(tried.length).toBeLessThanOrEqual(30);
      },
    ),
    { numRuns: 500 },
  );
});

test("doubles, and ends at the maximum when that holds", async () => {
  const { held, broke, tried } = await find(1_000_000, { max: 30_500 });
  expect(tried).toEqual([1000, 2000, 4000, 8000, 16_000, 30_500]);
  expect({ held, broke }).toEqual({ held: 30_500, broke: null });
});

test("a maximum below the first load is the first load", async () => {
  expect((await find(1000, { max: 64 })).tried).toEqual([64]);
});

test("a search in which nothing holds takes two trials", async () => {
  const { held, broke, tried } = await find(0);
  expect({ held, broke, tried }).toEqual({ held: 0, broke: 1, tried: [1000, 1] });
  expect((await find(5, { max: 0 })).tried).toEqual([]);
});

test("a load holds when every trial of it holds", async () => {
  const tried: number[] = [];
  const attempt = async (load: number): Promise<Outcome> => {
    tried.push(load);
    return load === 4 && tried.filter((other) => other === 4).length === 3 ? "broke" : "held";
  };
  const found = await search({ first: 2, max: 4, repeats: 3, attempt });
  expect(tried).toEqual([2, 2, 2, 4, 4, 4, 3, 3, 3]);
  expect(found).toEqual({ held: 3, broke: 4, complete: true });
});

test("a load that is late once is tried once more; late twice, it is broken", async () => {
  const outcomes: Record<number, Outcome[]> = {
    2: ["late", "held", "held"],
    4: ["held", "late", "late"],
    3: ["held", "late", "broke"],
  };
  const attempt = async (load: number) => outcomes[load]?.shift() ?? "held";
  const found = await search({ first: 2, max: 4, repeats: 2, attempt });
  expect(found).toEqual({ held: 2, broke: 3, complete: true });
  expect(Object.values(outcomes).flat()).toEqual([]);
});

test("an interruption leaves what was found before; the trial that it hit does not count", async () => {
  const stopped = new AbortController();
  const tried: number[] = [];
  const attempt = async (load: number): Promise<Outcome> => {
    tried.push(load);
    if (load === 4000) stopped.abort();
    return load < 4000 ? "held" : "broke";
  };
  const found = await search({
    ...{ first: 1000, max: 30_000, repeats: 2, attempt },
    signal: stopped.signal,
  });
  expect(tried).toEqual([1000, 1000, 2000, 2000, 4000]);
  expect(found).toEqual({ held: 2000, broke: null, complete: false });
});

test("what was found is said in words", () => {
  const found = (clients: number, complete: boolean) =>
    showFound({ find: "clients", clients, complete } as unknown as LimitResult);
  expect(found(1000, true)).toBe(
    "1,000 clients at one instant, each served by a process of its own",
  );
  expect(found(1, false)).toMatch(/^at least 1 client at one instant/);
  expect(found(0, false)).toBe("not found: interrupted before a load had held");
  expect(found(0, true)).toMatch(/^0 clients at one instant/);
});
