/** A plot of horizontal bars in groups, each with its value and range. */
import { type Axis, nameOf, Scale, showTick } from "../../src/report/scale";
import { drawFrame, escapeXml, round } from "../../src/report/svg";

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** The value as text. */
  readonly text: string;
  readonly range?: readonly [number, number];
  /** Highlights the bar. */
  readonly own: boolean;
}

export interface Bars {
  readonly title: string;
  readonly axis: Axis;
  readonly groups: readonly { readonly name: string; readonly bars: readonly Bar[] }[];
}

const WIDTH = 640;
const GROUP = 60;
const EDGE = 10;
const MARGIN = { top: 36, right: 90, bottom: 52 };
const ROW = 22;
const GROUP_GAP = 14;

/** Draws negative values as 0. Returns "" if there are no bars. */
export function drawBars({ title, axis, groups }: Bars): string {
  const bars = groups.flatMap((group) => group.bars);
  if (bars.length === 0) return "";
  const edge = GROUP + labelWidth(bars);
  const innerWidth = WIDTH - edge - MARGIN.right;
  const scale = new Scale(
    axis.scale,
    bars.flatMap(({ value, range }) => [value, ...(range ?? [])]),
  );
  const left = (value: number) => round(edge + scale.place(Math.max(0, value)) * innerWidth);
  const rows: string[] = [];
  let top = MARGIN.top;
  for (const { name, bars: own } of groups) {
    rows.push(`<text x="${EDGE}" y="${top + 15}">${escapeXml(name)}</text>`);
    for (const bar of own) {
      rows.push(drawBar(bar, top, edge, left));
      top += ROW;
    }
    top += GROUP_GAP;
  }
  const bottom = top - GROUP_GAP + 4;
  const height = bottom + MARGIN.bottom;
  return drawFrame(title, { width: WIDTH, height, left: EDGE }, [
    ...scale.ticks.map(
      (tick) =>
        `<line class="grid" x1="${left(tick)}" x2="${left(tick)}" y1="${MARGIN.top}" y2="${bottom}"/><text x="${left(tick)}" y="${bottom + 18}" text-anchor="middle">${showTick(tick)}</text>`,
    ),
    ...rows,
    `<path class="axis" fill="none" d="M${edge} ${MARGIN.top}V${bottom}H${edge + innerWidth}"/>`,
    `<text x="${edge + innerWidth / 2}" y="${height - 12}" text-anchor="middle">${escapeXml(nameOf(axis))}</text>`,
  ]);
}

/** By the width of the widest character of a usual label; at least that of a short one. */
function labelWidth(bars: readonly Bar[]): number {
  const CHARACTER = 6.5;
  return Math.max(90, ...bars.map(({ label }) => Math.ceil(label.length * CHARACTER)));
}

function drawBar(
  { label, value, text, range, own }: Bar,
  top: number,
  edge: number,
  left: (x: number) => number,
) {
  const middle = top + ROW / 2;
  const width = round(left(value) - edge);
  const end = Math.max(left(value), ...(range ?? []).map(left));
  return [
    `<text x="${edge - 8}" y="${middle + 4}" text-anchor="end">${escapeXml(label)}</text>`,
    `<rect class="${own ? "m0" : "m5"}" x="${edge}" y="${top + 3}" width="${width}" height="${ROW - 6}" fill-opacity="0.7"/>`,
    range ? `<path class="range" d="M${left(range[0])} ${middle}H${left(range[1])}"/>` : "",
    `<text x="${end + 6}" y="${middle + 4}">${escapeXml(text)}</text>`,
  ].join("");
}
