/** Markdown tables that are readable as text, and numbers as the page shows them. */
import { showCount } from "../../src/base/units";

/** Escapes the cells, and aligns a column of numbers to the right. */
export function drawTable(names: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(escapeMarkdown));
  const columns = names.map((name, i) => {
    const texts = cells.map((row) => row[i] ?? "");
    const isNumeric = texts.every((text) => /^$|^–$|^-?\d/.test(text));
    return { width: Math.max(3, name.length, ...texts.map((text) => text.length)), isNumeric };
  });
  const line = (texts: readonly string[]) =>
    `| ${columns.map(({ width, isNumeric }, i) => (isNumeric ? (texts[i] ?? "").padStart(width) : (texts[i] ?? "").padEnd(width))).join(" | ")} |`;
  const rule = columns.map(
    ({ width, isNumeric }) => "-".repeat(width - 1) + (isNumeric ? ":" : "-"),
  );
  return [line(names), line(rule), ...cells.map(line)].join("\n");
}

export function drawList(items: readonly string[]): string {
  return items.map((item) => `- ${escapeMarkdown(item)}`).join("\n");
}

/** Puts a blank line between blocks, and drops empty ones. */
export function joinBlocks(...blocks: readonly string[]): string {
  return blocks.filter((block) => block !== "").join("\n\n");
}

function escapeMarkdown(text: string): string {
  return text.replace(/[|<*`\\]/g, "\\$&").replace(/\s+/g, " ");
}

/** Shows three digits, or a whole number: `49.3 kB`, `64,583/s`, `4`. */
export function showValue(value: number, unit: string): string {
  const number = Math.abs(value) >= 1000 ? showCount(value) : String(Number(value.toPrecision(3)));
  return unit === "" || unit === "/s" ? `${number}${unit}` : `${number} ${unit}`;
}

export function showRatio(ratio: number): string {
  if (ratio >= 100) return showCount(ratio);
  return ratio < 0.1 ? String(Number(ratio.toPrecision(2))) : ratio.toFixed(2);
}
