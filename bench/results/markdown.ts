/** Markdown, readable as it is written, and numbers as the page shows them. */
import { showCount } from "../../src/base/units";

export interface Column {
  readonly name: string;
  readonly align: "left" | "right";
}

export const left = (name: string): Column => ({ name, align: "left" });
export const right = (name: string): Column => ({ name, align: "right" });

export function drawTable(columns: readonly Column[], rows: readonly (readonly string[])[]) {
  const widths = columns.map(({ name }, i) =>
    Math.max(3, name.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) => {
    const padded = columns.map(({ align }, i) => {
      const [cell = "", width = 0] = [cells[i], widths[i]];
      return align === "left" ? cell.padEnd(width) : cell.padStart(width);
    });
    return `| ${padded.join(" | ")} |`;
  };
  const rule = columns.map(({ align }, i) => {
    const dashes = "-".repeat((widths[i] ?? 0) - 1);
    return align === "left" ? `${dashes}-` : `${dashes}:`;
  });
  return [line(columns.map(({ name }) => name)), line(rule), ...rows.map(line)].join("\n");
}

export function drawList(items: readonly string[]): string {
  return items.map((item) => `- ${item}`).join("\n");
}

/** Blocks with a blank line between them; empty ones are none. */
export function joinBlocks(blocks: readonly string[]): string {
  return blocks.filter((block) => block !== "").join("\n\n");
}

/** Text from outside, in a line or a cell. */
export function escapeMarkdown(text: string): string {
  return text.replace(/[|<*`\\]/g, "\\$&").replace(/\s+/g, " ");
}

/** To three digits, or whole: `49.3 kB`, `64,583/s`, `4`. */
export function showValue(value: number, unit: string): string {
  const number = Math.abs(value) >= 1000 ? showCount(value) : String(Number(value.toPrecision(3)));
  return unit === "" || unit === "/s" ? `${number}${unit}` : `${number} ${unit}`;
}

export function showRatio(ratio: number): string {
  if (ratio >= 100) return showCount(ratio);
  return ratio < 0.1 ? String(Number(ratio.toPrecision(2))) : ratio.toFixed(2);
}

/** Of one less the other: `31% more`, `2.3 times as much`. */
export function showMore(factor: number): string {
  return factor < 2
    ? `${Number(((factor - 1) * 100).toPrecision(2))}% more`
    : `${showRatio(factor)} times as much`;
}
