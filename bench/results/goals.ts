/** The goals of the bench: which were reached, which were not. */
import type { BenchReport, MeasuredGoal } from "../report";
import { drawTable, left, right, showValue } from "./markdown";

interface GoalOf {
  readonly figure: string;
  readonly goal: MeasuredGoal;
}

export function goalsOf({ figures }: BenchReport): GoalOf[] {
  return figures.flatMap(({ figure, goals }) => goals.map((goal) => ({ figure, goal })));
}

export function drawGoals(report: BenchReport): string {
  const rows = goalsOf(report).map(({ figure, goal }) => [
    figure,
    goal.text,
    showMeasured(goal),
    showVerdict(goal),
  ]);
  return drawTable([left("figure"), left("goal"), right("measured"), left("")], rows);
}

/** In a few lines; those that were not reached, each by name. */
export function summarizeGoals(report: BenchReport): string[] {
  const goals = goalsOf(report);
  const whichAre = (reached: boolean | null) =>
    goals.filter(({ goal }) => goal.reached === reached);
  if (goals.length === 0) return [];
  return [
    `kilofork reaches ${whichAre(true).length} of its ${goals.length} goals.`,
    ...whichAre(false).map(
      ({ figure, goal }) =>
        `**Not reached**: ${figure}: ${goal.text}. Measured: ${showMeasured(goal)}.`,
    ),
    ...whichAre(null).map(
      ({ figure, goal }) =>
        `Cannot be told: ${figure}: ${goal.text}. There was nothing to compare with.`,
    ),
  ];
}

export function showVerdict({ reached }: MeasuredGoal): string {
  if (reached === null) return "cannot be told";
  return reached ? "reached" : "**not reached**";
}

export function showMeasured({ measured }: MeasuredGoal): string {
  return measured === null ? "–" : showValue(measured, "");
}
