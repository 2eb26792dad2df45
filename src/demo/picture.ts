/** Draws the number in flight over time as a few lines of text. */

export interface Point {
  readonly timeMs: number;
  readonly inFlight: number;
}

const MOST_COLUMNS = 44;
const ROWS = 3;

/**
 * `#`: the number is at that height for the whole column; `:` for a part of it. No line is longer than
 * `width`.
 */
export function drawInFlight(
  points: readonly Point[],
  most: number,
  tickMs: number,
  width = 80,
): string[] {
  const first = points[0];
  const last = points.at(-1);
  if (!first || !last || most <= 0) return [];
  const label = String(most).length;
  const size = Math.max(1, Math.min(MOST_COLUMNS, width - label - 4));
  const columnMs = Math.max(last.timeMs - first.timeMs, 1) / size;
  const columns = Array.from({ length: size }, () => ({ low: Infinity, high: 0 }));
  let level = 0;
  let next = 0;
  for (const [i, column] of columns.entries()) {
    const end = first.timeMs + (i + 1) * columnMs;
    column.low = i === 0 ? 0 : level;
    column.high = level;
    for (; next < points.length && (points[next] as Point).timeMs <= end; next++) {
      level = (points[next] as Point).inFlight;
      column.low = Math.min(column.low, level);
      column.high = Math.max(column.high, level);
    }
  }
  const rows = Array.from({ length: ROWS - 1 }, (_, i) => {
    const height = Math.round((most * (ROWS - 1 - i)) / (ROWS - 1));
    const cells = columns.map(({ low, high }) =>
      low >= height ? "#" : high >= height ? ":" : " ",
    );
    return `${String(height).padStart(label)} | ${cells.join("").trimEnd()}`;
  });
  return [
    ...rows,
    `${"0".padStart(label)} +-${"-".repeat(size)}`,
    axis(label, size, columnMs, tickMs, width),
  ];
}

function axis(
  label: number,
  size: number,
  columnMs: number,
  tickMs: number,
  width: number,
): string {
  let text = " ".repeat(label + 3);
  const start = text.length;
  const step = Math.max(tickMs, columnMs);
  for (let time = 0; time / columnMs <= size; time += step) {
    const name = `${Number((time / 1000).toFixed(2))} s`;
    const at = start + Math.round(time / columnMs);
    if ((time === 0 || at > text.length) && at + name.length <= width)
      text = text.padEnd(at) + name;
  }
  return text;
}
