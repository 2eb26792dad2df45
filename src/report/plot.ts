/** A plot of lines with points: axes with ticks, labels and units; ranges and a knee if given. */
import { type Axis, nameOf, Scale, showTick } from "./scale";
import { drawFrame, drawMark, drawStroke, escapeXml, MOST_SERIES, round } from "./svg";

export interface Point {
  readonly x: number;
  readonly y: number;
  /** The least and the most y. */
  readonly range?: readonly [number, number];
}

export interface Plot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  /** At most {@link MOST_SERIES}. */
  readonly series: readonly { readonly name: string; readonly points: readonly Point[] }[];
  /** A point of the first series. */
  readonly knee?: Point | null;
}

const WIDTH = 640;
const INNER = { width: 528, height: 252 };
const MARGIN = { top: 36, right: 32, bottom: 52, left: 80 };
const LEGEND_ROW = 20;

/** Maps values to pixels. */
interface Place {
  left(x: number): number;
  top(y: number): number;
}

/** Returns "" if there are no points. */
export function drawPlot({ title, x, y, series, knee }: Plot): string {
  const points = series.flatMap((line) => line.points);
  if (points.length === 0) return "";
  if (series.length > MOST_SERIES) throw new Error(`${series.length} lines in one plot`);
  const legend = series.length > 1 ? placeLegend(series.map(({ name }) => name)) : [];
  const top = MARGIN.top + LEGEND_ROW * Math.max(1, (legend.at(-1)?.row ?? 0) + 1);
  const bottom = top + INNER.height;
  const height = bottom + MARGIN.bottom;
  const across = new Scale(
    x.scale,
    points.map((point) => point.x),
  );
  const up = new Scale(
    y.scale,
    points.flatMap((point) => [point.y, ...(point.range ?? [])]),
  );
  const place: Place = {
    left: (value) => round(MARGIN.left + across.place(value) * INNER.width),
    top: (value) => round(top + (1 - up.place(value)) * INNER.height),
  };
  const right = MARGIN.left + INNER.width;
  return drawFrame(title, { width: WIDTH, height, left: MARGIN.left }, [
    ...across.ticks.map((tick) => {
      const left = place.left(tick);
      return `<line class="grid" x1="${left}" x2="${left}" y1="${top}" y2="${bottom}"/><text x="${left}" y="${bottom + 18}" text-anchor="middle">${showTick(tick)}</text>`;
    }),
    ...up.ticks.map((tick) => {
      const y = place.top(tick);
      return `<line class="grid" x1="${MARGIN.left}" x2="${right}" y1="${y}" y2="${y}"/><text x="${MARGIN.left - 8}" y="${y + 4}" text-anchor="end">${showTick(tick)}</text>`;
    }),
    `<path class="axis" fill="none" d="M${MARGIN.left} ${top}V${bottom}H${right}"/>`,
    `<text x="${MARGIN.left + INNER.width / 2}" y="${height - 12}" text-anchor="middle">${escapeXml(nameOf(x))}</text>`,
    `<text transform="translate(16 ${top + INNER.height / 2}) rotate(-90)" text-anchor="middle">${escapeXml(nameOf(y))}</text>`,
    // The first series is drawn over the others.
    ...series.map(({ points: own }, i) => drawLine(own, i, place)).reverse(),
    ...legend.map(drawLegendEntry),
    ...(knee ? [drawKnee(knee, series[0]?.points ?? [], place, { top, right, bottom })] : []),
  ]);
}

function drawLine(points: readonly Point[], index: number, { left, top }: Place): string {
  const sorted = [...points].sort((a, b) => a.x - b.x);
  const path = sorted.map(({ x, y }) => `${left(x)} ${top(y)}`).join("L");
  const ranges = sorted.map(({ x, range }) =>
    range
      ? `<path class="s${index}" stroke-opacity="0.6" d="M${left(x)} ${top(range[0])}V${top(range[1])}"/>`
      : "",
  );
  const marks = sorted.map(({ x, y }) => drawMark(index, left(x), top(y)));
  return `${drawStroke(`M${path}`, index)}${ranges.join("")}${marks.join("")}`;
}

interface LegendEntry {
  readonly name: string;
  readonly left: number;
  readonly row: number;
}

const LEGEND_STROKE = 26;

/** Places as many entries in a row as fit, by the width of the widest character. */
function placeLegend(names: readonly string[]): LegendEntry[] {
  const CHARACTER = 7;
  let left = 0;
  let row = 0;
  return names.map((name) => {
    const width = LEGEND_STROKE + 6 + name.length * CHARACTER + 14;
    if (left > 0 && left + width > INNER.width) {
      left = 0;
      row++;
    }
    const entry = { name, left: MARGIN.left + left, row };
    left += width;
    return entry;
  });
}

function drawLegendEntry({ name, left, row }: LegendEntry, index: number): string {
  const y = MARGIN.top + 4 + LEGEND_ROW * row;
  const stroke = drawStroke(`M${left} ${y}h${LEGEND_STROKE}`, index);
  const mark = drawMark(index, left + LEGEND_STROKE / 2, y);
  return `${stroke}${mark}<text x="${left + LEGEND_STROKE + 6}" y="${y + 4}">${escapeXml(name)}</text>`;
}

/** Keeps the text clear of the curve: below one that turns up, above one that turns down. */
function drawKnee(
  { x, y }: Point,
  curve: readonly Point[],
  place: Place,
  edge: { top: number; right: number; bottom: number },
): string {
  const [left, top] = [place.left(x), place.top(y)];
  const ends = [...curve].sort((a, b) => a.x - b.x);
  const [first, last] = [ends[0], ends.at(-1)].map((end) => ({
    left: place.left(end?.x ?? x),
    top: place.top(end?.y ?? y),
  })) as [{ left: number; top: number }, { left: number; top: number }];
  const share = (left - first.left) / Math.max(1, last.left - first.left);
  const isUnder = top > first.top + share * (last.top - first.top);
  const baseline = isUnder
    ? Math.min(edge.bottom - 6, top + 20)
    : Math.max(edge.top + 12, top - 10);
  const anchor = left > edge.right - 120 ? "end" : "start";
  const beside = anchor === "end" ? -12 : 12;
  return [
    `<circle class="knee" cx="${left}" cy="${top}" r="8"/>`,
    `<text class="knee-text" x="${round(left + beside)}" y="${round(baseline)}" text-anchor="${anchor}">knee: ${showTick(x)}</text>`,
  ].join("");
}

/**
 * Finds where a curve turns up, or down: the point furthest below, or above, the straight line between
 * its ends, on the scales of the plot. Returns null if no point is far from the line. Source: V.
 * Satopaa et al., "Finding a Kneedle in a Haystack".
 */
export function findKnee(
  points: readonly Point[],
  turns: "up" | "down",
  scales: { readonly x: Axis["scale"]; readonly y: Axis["scale"] },
): Point | null {
  const LEAST_POINTS = 4;
  const LEAST_DISTANCE = 0.1;
  if (points.length < LEAST_POINTS) return null;
  const sorted = [...points].sort((a, b) => a.x - b.x);
  const across = spread(
    sorted.map(({ x }) => x),
    scales.x,
  );
  const up = spread(
    sorted.map(({ y }) => y),
    scales.y,
  );
  const [first = 0, last = 0] = [up[0], up.at(-1)];
  let knee: Point | null = null;
  let furthest = LEAST_DISTANCE;
  for (const [i, point] of sorted.entries()) {
    const above = (up[i] ?? 0) - (first + (last - first) * (across[i] ?? 0));
    const distance = turns === "down" ? above : -above;
    if (distance <= furthest) continue;
    furthest = distance;
    knee = point;
  }
  return knee && (turns === "down" || risesFrom(knee, sorted)) ? knee : null;
}

/** Whether a curve rises after the knee. Otherwise it may be a dip in a curve that goes up and down. */
function risesFrom(knee: Point, sorted: readonly Point[]): boolean {
  const LEAST_RISE = 2;
  const before = sorted.filter(({ x }) => x <= knee.x).map(({ y }) => y);
  return (sorted.at(-1)?.y ?? 0) >= LEAST_RISE * Math.max(...before);
}

/** Maps values to 0 … 1. */
function spread(values: readonly number[], scale: Axis["scale"]): number[] {
  const scaled = scale === "log" ? values.map((value) => Math.log(Math.max(value, 1e-9))) : values;
  const [least, most] = [Math.min(...scaled), Math.max(...scaled)];
  return scaled.map((value) => (most > least ? (value - least) / (most - least) : 0));
}
