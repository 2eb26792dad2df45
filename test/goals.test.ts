/** The goals of the bench: which subject they are of, and what they compare. */
import { expect, test } from "vitest";
import { atMostMore, goalOf, higher, lower, type Outcome, ratioOf } from "../bench/figures/figure";
import { rateGoalsOf } from "../bench/figures/process-per";
import { LABELS } from "../bench/servers/names";
import { median } from "../src/base/numbers";

function outcomes(rounds: Readonly<Record<string, readonly number[]>>): Outcome[] {
  const [first = []] = Object.values(rounds);
  return Object.entries(rounds).map(([label, values]) => ({
    ...{ label, values, median: median(values) },
    ...{ min: Math.min(...values), max: Math.max(...values) },
    ratio: ratioOf({ values: first }, { values }),
  }));
}

test("a ratio is the median of the ratios of the rounds that both subjects have", () => {
  expect(ratioOf({ values: [10, 30, 90] }, { values: [10, 10, 10] })).toBe(3);
  expect(ratioOf({ values: [10] }, { values: [5, 10, 10] })).toBe(2);
  expect(ratioOf({ values: [] }, { values: [5] })).toBeNaN();
});

test("a goal of another subject than the first compares that one", () => {
  const measured = outcomes({ kilofork: [10, 10, 10], other: [30, 20, 20], peer: [10, 10, 20] });
  expect(higher(1, "peer").measured(measured)).toBe(1);
  const goal = goalOf("other", higher(2, "peer", "kilofork"));
  expect(goal.text).toBe("other: at least 2 of the best of peer; kilofork");
  expect(goal.measured(measured)).toBe(2);
  expect(goalOf("other", lower(2, "peer")).measured(measured)).toBe(2);
  expect(goal.holds(2)).toBe(true);
  expect(goal.holds(1.9)).toBe(false);
});

test("a goal is not measured without its subject, or without one to compare with", () => {
  const measured = outcomes({ kilofork: [10], peer: [10] });
  expect(goalOf("other", higher(2, "peer")).measured(measured)).toBeUndefined();
  expect(goalOf("peer", higher(2, "absent")).measured(measured)).toBeUndefined();
});

test("a difference is of the medians", () => {
  const goal = atMostMore(1, "kB", "bare epoll");
  const measured = outcomes({ own: [6, 5, 5.5], "bare epoll": [5, 4, 4.4] });
  expect(goal.measured(measured)).toBeCloseTo(1.1);
  expect(goal.holds(1.1)).toBe(false);
});

test("the goals of a rate compare with the peers that were measured, Go and the loop by themselves", () => {
  const texts = (at: number, ...peers: Parameters<typeof rateGoalsOf>[1]) =>
    rateGoalsOf(at, peers).map(({ text }) => text.replace(`${LABELS.perRequest}: `, ""));
  expect(texts(1000, "cluster", "net", "go", "loop")).toEqual([
    "at least 1.5 of the best of node:cluster; node:net",
    "at least 1.6 of kilofork",
    "at least 1 of Go",
    "at least 0.75 of C event loop",
  ]);
  expect(texts(100, "cluster")).toEqual([
    "at least 1.4 of node:cluster",
    "at least 1.3 of kilofork",
  ]);
  expect(texts(10, "cluster")).toEqual([]);
});
