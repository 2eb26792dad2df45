/** The one of ours beside each other one, figure by figure: who is ahead, by how much, how surely. */
import { plural } from "../../src/base/units";
import type { Outcome } from "../figures/figure";
import type { BenchReport, MeasuredFigure } from "../report";
import { showMore, showValue } from "./markdown";
import { reasonFor } from "./reasons";

export interface Comparison {
  readonly figure: MeasuredFigure;
  readonly own: Outcome;
  readonly other: Outcome;
}

/** What differs by less counts as the same. */
const SAME = 0.005;

/** Without what is kilofork, too, in another mode or on fewer connections, and what is computed. */
export function comparisonsOf({ figures }: BenchReport): Comparison[] {
  return figures.flatMap((figure) => {
    const own = ownOf(figure);
    if (!own) return [];
    return figure.subjects
      .filter((other) => other !== own && isPeer(other.label))
      .map((other) => ({ figure, own, other }));
  });
}

/** Undefined: it was not measured. */
export function ownOf({ subjects, first }: MeasuredFigure): Outcome | undefined {
  return subjects.find(({ label }) => label === first);
}

const isPeer = (label: string) =>
  label !== "written" && !label.startsWith("kilofork") && !/^one sync|, computed$/.test(label);

/** By the medians, or by the median of the ratios of each round: they may differ where it is close. */
export function isOtherAhead(comparison: Comparison): boolean {
  return isMeaningful(comparison) && Math.max(...leadsOf(comparison)) > 1 + SAME;
}

/** Where memory came out at nothing or less, others gave back more than was taken. */
export function isMeaningful({ own, other }: Comparison): boolean {
  const isCount = (value: number) => value > 0;
  return own.values.every(isCount) && other.values.every(isCount);
}

/** More than 1 where the other one is ahead: by the ratios of each round, and by the medians. */
function leadsOf({ figure, own, other }: Comparison): [number, number] {
  const share = [other.ratio, own.median / other.median] as const;
  const [byRounds, byMedians] = figure.better === "less" ? share : share.map((part) => 1 / part);
  return [byRounds ?? 1, byMedians ?? 1];
}

/** One sentence for what was measured, one for why. */
export function describeLead(comparison: Comparison): string {
  const { figure, own, other } = comparison;
  const { unit, better, topic } = figure;
  const [byRounds, byMedians] = leadsOf(comparison);
  const isByMedians = byMedians > 1 + SAME;
  const more = showMore(isByMedians ? byMedians : byRounds);
  const amount = better === "more" ? more : `${own.label} takes ${more}`;
  const { rounds, ahead } = roundsOf(comparison);
  const isSure = rounds > 1 && ahead === rounds;
  const values = `${showValue(other.median, unit)} against ${showValue(own.median, unit)}`;
  const how = isByMedians ? amount : `which is no lead; round by round, ${amount}`;
  const where = isSure
    ? `in each of ${rounds} rounds`
    : `in ${ahead} of ${plural(rounds, "round")}: the order may be chance`;
  const measured = `**${other.label}**, ${figure.figure}: ${values}, ${how}, ${where}.`;
  const reason =
    reasonFor(topic, other.label) ?? (isSure ? "The design gives no reason for it." : "");
  return `${measured} ${reason}`.trimEnd();
}

function roundsOf({ figure, own, other }: Comparison): { rounds: number; ahead: number } {
  const rounds = Math.min(own.values.length, other.values.length);
  const isAhead = (ours: number, value: number) =>
    figure.better === "more" ? value > ours : value < ours;
  const pairs = own.values
    .slice(0, rounds)
    .map((ours, round) => [ours, other.values[round] ?? ours]);
  return { rounds, ahead: pairs.filter(([ours = 0, value = 0]) => isAhead(ours, value)).length };
}
