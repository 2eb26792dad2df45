/**
 * A plot as one SVG that stands for itself: axes with ticks, labels and units, lines with their
 * points, the knee marked. Readable on a light and on a dark page, and without colour.
 */

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Axis {
  readonly label: string;
  readonly unit: string;
  readonly scale: "linear" | "log";
}

export interface Plot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  /** At most as many as there are strokes. */
  readonly series: readonly { readonly name: string; readonly points: readonly Point[] }[];
  /** Of the first series. */
  readonly knee?: Point | null;
}

const WIDTH = 640;
const HEIGHT = 360;
const MARGIN = { top: 56, right: 24, bottom: 52, left: 72 };
const INNER = {
  width: WIDTH - MARGIN.left - MARGIN.right,
  height: HEIGHT - MARGIN.top - MARGIN.bottom,
};
const MOST_TICKS = 6;

/** Series differ in dash and mark, not in colour alone. */
const STYLE = `
.kf-plot{font:12px system-ui,sans-serif;color:#1f2328;background:#fff;--grid:#d8dee4;--s0:#0550ae;--s1:#953800;--s2:#116329;--knee:#cf222e}
@media (prefers-color-scheme:dark){.kf-plot{color:#e6edf3;background:#0d1117;--grid:#30363d;--s0:#79c0ff;--s1:#ffa657;--s2:#7ee787;--knee:#ff7b72}}
.kf-plot text{fill:currentColor}.kf-plot .title{font-size:14px;font-weight:600}
.kf-plot .grid{stroke:var(--grid)}.kf-plot .axis{stroke:currentColor}
.kf-plot .line{fill:none;stroke-width:2}.kf-plot .knee{fill:none;stroke:var(--knee);stroke-width:2}
.kf-plot text.knee-text{fill:var(--knee);stroke:none;font-weight:600}
${[0, 1, 2].map((i) => `.kf-plot .s${i}{stroke:var(--s${i})}.kf-plot .m${i}{fill:var(--s${i})}`).join("")}`;
const DASHES = ["", "7 4", "2 3"];

export function drawPlot({ title, x, y, series, knee }: Plot): string {
  const points = series.flatMap((line) => line.points);
  if (points.length === 0) return "";
  const across = new Scale(
    x.scale,
    points.map((point) => point.x),
  );
  const up = new Scale(
    y.scale,
    points.map((point) => point.y),
  );
  const left = (value: number) => round(MARGIN.left + across.place(value) * INNER.width);
  const top = (value: number) => round(MARGIN.top + (1 - up.place(value)) * INNER.height);
  const bottom = MARGIN.top + INNER.height;
  const right = MARGIN.left + INNER.width;
  return [
    `<svg class="kf-plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${escapeXml(title)}">`,
    `<style>${STYLE}</style>`,
    `<text class="title" x="${MARGIN.left}" y="18">${escapeXml(title)}</text>`,
    ...across.ticks.map(
      (tick) =>
        `<line class="grid" x1="${left(tick)}" x2="${left(tick)}" y1="${MARGIN.top}" y2="${bottom}"/><text x="${left(tick)}" y="${bottom + 18}" text-anchor="middle">${showTick(tick)}</text>`,
    ),
    ...up.ticks.map(
      (tick) =>
        `<line class="grid" x1="${MARGIN.left}" x2="${right}" y1="${top(tick)}" y2="${top(tick)}"/><text x="${MARGIN.left - 8}" y="${top(tick) + 4}" text-anchor="end">${showTick(tick)}</text>`,
    ),
    `<path class="axis" fill="none" d="M${MARGIN.left} ${MARGIN.top}V${bottom}H${right}"/>`,
    `<text x="${MARGIN.left + INNER.width / 2}" y="${HEIGHT - 12}" text-anchor="middle">${escapeXml(nameOf(x))}</text>`,
    `<text transform="translate(16 ${MARGIN.top + INNER.height / 2}) rotate(-90)" text-anchor="middle">${escapeXml(nameOf(y))}</text>`,
    ...series.map(({ points: own }, i) => drawLine(own, i, left, top)),
    ...(series.length > 1 ? drawLegend(series.map(({ name }) => name)) : []),
    ...(knee ? drawKnee(knee, left(knee.x), top(knee.y), right) : []),
    "</svg>",
  ].join("\n");
}

function drawLine(
  points: readonly Point[],
  index: number,
  left: (x: number) => number,
  top: (y: number) => number,
): string {
  const places = [...points]
    .sort((a, b) => a.x - b.x)
    .map(({ x, y }) => [left(x), top(y)] as const);
  const path = places.map(([x, y]) => `${x} ${y}`).join("L");
  const marks = places.map(([x, y]) =>
    index === 0
      ? `<circle class="m0" cx="${x}" cy="${y}" r="3.5"/>`
      : `<rect class="m${index}" x="${x - 3}" y="${y - 3}" width="6" height="6"/>`,
  );
  return `<path class="line s${index}" stroke-dasharray="${DASHES[index] ?? ""}" d="M${path}"/>${marks.join("")}`;
}

function drawLegend(names: readonly string[]): string[] {
  const EACH = 84;
  return names.map((name, i) => {
    const x = MARGIN.left + EACH * i;
    return `<path class="line s${i}" stroke-dasharray="${DASHES[i] ?? ""}" d="M${x} 38h26"/><text x="${x + 32}" y="42">${escapeXml(name)}</text>`;
  });
}

function drawKnee({ x }: Point, left: number, top: number, right: number): string[] {
  const anchor = left > right - 120 ? "end" : "start";
  const beside = anchor === "end" ? -12 : 12;
  return [
    `<circle class="knee" cx="${left}" cy="${top}" r="8"/>`,
    `<text class="knee-text" x="${left + beside}" y="${Math.max(MARGIN.top + 12, top - 10)}" text-anchor="${anchor}">knee: ${showTick(x)}</text>`,
  ];
}

/** From values to 0 … 1, with ticks at round numbers. A linear one begins at 0. */
class Scale {
  readonly ticks: readonly number[];
  private readonly least: number;
  private readonly most: number;

  constructor(
    private readonly kind: Axis["scale"],
    values: readonly number[],
  ) {
    const largest = Math.max(...values, 0) || 1;
    if (kind === "linear") {
      const step = niceStep(largest / MOST_TICKS);
      this.least = 0;
      this.most = Math.ceil(largest / step) * step;
      this.ticks = Array.from({ length: Math.round(this.most / step) + 1 }, (_, i) => i * step);
    } else {
      const smallest = Math.min(...values.filter((value) => value > 0), largest);
      const candidates = logTicks(Math.floor(Math.log10(smallest)), Math.ceil(Math.log10(largest)));
      this.least = candidates.findLast((tick) => tick <= smallest) ?? smallest;
      this.most = candidates.find((tick) => tick >= largest && tick > this.least) ?? largest;
      const within = candidates.filter((tick) => tick >= this.least && tick <= this.most);
      const decades = within.filter((tick) => isDecade(tick));
      this.ticks = within.length > 2 * MOST_TICKS ? decades : within;
    }
  }

  place(value: number): number {
    if (this.kind === "linear") return value / this.most;
    const span = Math.log10(this.most / this.least);
    return span > 0 ? Math.max(0, Math.log10(value / this.least) / span) : 0.5;
  }
}

function logTicks(from: number, to: number): number[] {
  const ticks: number[] = [];
  for (let power = from; power <= to; power++)
    for (const digit of [1, 2, 5]) ticks.push(Number(`${digit}e${power}`));
  return ticks;
}

const isDecade = (tick: number) => Number.isInteger(Number(Math.log10(tick).toFixed(9)));

/** 1, 2 or 5 times a power of ten. */
function niceStep(atLeast: number): number {
  const power = 10 ** Math.floor(Math.log10(atLeast));
  const factor = [1, 2, 5, 10].find((digit) => digit * power >= atLeast) ?? 10;
  return Number((factor * power).toPrecision(1));
}

function showTick(value: number): string {
  return Number(value.toPrecision(4)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}

const nameOf = ({ label, unit }: Axis) => (unit === "" ? label : `${label}, ${unit}`);
const round = (value: number) => Number(value.toFixed(1));

export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}

/**
 * Where a curve turns up, or down: of the points below, or above, the straight line between its ends
 * as it is drawn, the furthest. Null when there is none to speak of. Source: V. Satopaa et al.,
 * "Finding a Kneedle in a Haystack".
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
  return knee;
}

function spread(values: readonly number[], scale: Axis["scale"]): number[] {
  const scaled = scale === "log" ? values.map((value) => Math.log(Math.max(value, 1e-9))) : values;
  const [least, most] = [Math.min(...scaled), Math.max(...scaled)];
  return scaled.map((value) => (most > least ? (value - least) / (most - least) : 0));
}
