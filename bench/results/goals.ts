/** The goals of the bench: which were reached, which were not. */
import type { BenchReport, MeasuredFigure, MeasuredGoal } from "../report";
import { drawTable, left, right, showValue } from "./markdown";

interface GoalOf {
  readonly figure: string;
  readonly goal: MeasuredGoal;
  /** What the bare loop reaches of the same, where that is the most that there can be. */
  readonly most: number | null;
}

export function goalsOf({ figures }: BenchReport): GoalOf[] {
  return figures.flatMap((measured) =>
    measured.goals.map((goal) => ({
      figure: measured.figure,
      goal,
      most: mostOf(measured, goal),
    })),
  );
}

const BARE = "bare loop";

/** A process for each connection can do no more than the bare loop, which does nothing else. */
function mostOf({ topic, subjects }: MeasuredFigure, { text }: MeasuredGoal): number | null {
  const bare = subjects.find(({ label }) => label === BARE);
  const others = subjects.filter(({ label }) => label !== BARE && text.includes(label));
  if (topic !== "rate" || !bare || others.length === 0) return null;
  return bare.median / Math.max(...others.map(({ median }) => median));
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
      ({ figure, goal, most }) =>
        `**Not reached**: ${figure}: ${goal.text}. Measured: ${showMeasured(goal)}.${most === null ? "" : ` The bare loop, the most that a process for each connection can do here, has ${showValue(most, "")}.`}`,
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
