/**
 * Measures a figure in rounds. A round measures every subject once, so that a machine that is slow
 * for a while is slow for all of them.
 */
import { median } from "../src/base/numbers";
import { type Figure, type Outcome, ratioOf, type Subject } from "./figures/figure";
import type { MeasuredFigure } from "./report";
import type { Harness } from "./servers/harness";
import { LeftOut } from "./servers/installed";

/** A subject that fails is not measured again. Sets the exit code if the machine had what it needs. */
export async function measureInRounds(
  figure: Figure,
  rounds: number,
  harness: Harness,
): Promise<MeasuredFigure> {
  const values = new Map(figure.subjects.map((subject): [Subject, number[]] => [subject, []]));
  const active = new Set(figure.subjects);
  const failures = new Map<string, string[]>(); // the labels of each reason
  for (let round = 0; round < rounds; round++) {
    for (const subject of active) {
      harness.throwIfInterrupted();
      try {
        values.get(subject)?.push(await subject.measure());
      } catch (error) {
        harness.throwIfInterrupted();
        active.delete(subject);
        const why = describe(error);
        failures.set(why, [...(failures.get(why) ?? []), subject.label]);
        if (!(error instanceof LeftOut)) process.exitCode = 1;
        await harness.endAll();
      }
      harness.removeLogs();
    }
  }
  for (const [why, labels] of failures) harness.notes.add(`${labels.join("; ")}: ${why}`);
  const [first = []] = values.values();
  const subjects = [...values]
    .filter(([, own]) => own.length > 0)
    .map(([{ label }, own]) => outcomeOf(label, own, first));
  const { name, topic, at, unit, better } = figure;
  return {
    ...{ figure: name, topic, ...(at === undefined ? {} : { at }), unit, better },
    first: figure.subjects[0]?.label ?? "",
    subjects,
    goals: (figure.goals ?? []).map((goal) => {
      const measured = first.length > 0 ? goal.measured(subjects) : undefined;
      return {
        text: goal.text,
        measured: measured ?? null,
        reached: measured === undefined ? null : goal.holds(measured),
      };
    }),
    notes: [...harness.notes],
  };
}

function describe(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `${error instanceof LeftOut ? "left out" : "FAILED"}: ${text.trim()}`;
}

/** `first` has the values of the first subject, one a round. */
function outcomeOf(label: string, own: readonly number[], first: readonly number[]): Outcome {
  return {
    label,
    median: median(own),
    min: Math.min(...own),
    max: Math.max(...own),
    values: own,
    ratio: ratioOf({ values: first }, { values: own }),
  };
}
