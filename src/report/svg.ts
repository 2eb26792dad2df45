/**
 * The parts that all drawings share: a self-contained SVG with its own background, and colours for
 * light and dark pages. Series differ in dash and mark, not only in colour.
 */

const LIGHT = [
  ...["#0550ae", "#953800", "#116329", "#8250df", "#bf3989", "#57606a", "#7d4e00"],
  ...["#1b7c83", "#5c6b00", "#6e3b6e"],
];
const DARK = [
  ...["#79c0ff", "#ffa657", "#7ee787", "#d2a8ff", "#f778ba", "#8b949e", "#e3b341"],
  ...["#76e3ea", "#d3e06a", "#e5b5e5"],
];
const DASHES = [
  ...["", "7 4", "2 3", "9 3 2 3", "4 2", "12 4", "5 3 1 3 1 3"],
  ...["1 4", "8 2 2 2", "14 3 5 3"],
];
export const MOST_SERIES = LIGHT.length;

interface Theme {
  readonly text: string;
  readonly ground: string;
  readonly grid: string;
  readonly knee: string;
  readonly series: readonly string[];
}

/** Uses no custom properties: some programs that draw SVG do not know them. */
function rulesOf({ text, ground, grid, knee, series }: Theme): string {
  return [
    `.kf-plot text{fill:${text}}.kf-plot .ground{fill:${ground}}`,
    `.kf-plot .grid{stroke:${grid}}.kf-plot .axis,.kf-plot .range{stroke:${text}}`,
    `.kf-plot .knee{stroke:${knee}}.kf-plot text.knee-text{fill:${knee}}`,
    ...series.map(
      (colour, i) => `.kf-plot .s${i}{stroke:${colour}}.kf-plot .m${i}{fill:${colour}}`,
    ),
  ].join("");
}

const STYLE = [
  ".kf-plot{font-family:system-ui,sans-serif;font-size:12px}",
  ".kf-plot .title{font-size:14px;font-weight:600}",
  ".kf-plot .line,.kf-plot .knee{fill:none;stroke-width:2}.kf-plot .knee-text{font-weight:600}",
  rulesOf({ text: "#1f2328", ground: "#fff", grid: "#d8dee4", knee: "#cf222e", series: LIGHT }),
  `@media (prefers-color-scheme:dark){${rulesOf({ text: "#e6edf3", ground: "#0d1117", grid: "#30363d", knee: "#ff7b72", series: DARK })}}`,
].join("");

export function drawFrame(
  title: string,
  { width, height, left }: { width: number; height: number; left: number },
  content: readonly string[],
): string {
  return [
    `<svg class="kf-plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(title)}">`,
    `<style>${STYLE}</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    `<text class="title" x="${left}" y="20">${escapeXml(title)}</text>`,
    ...content,
    "</svg>",
  ].join("\n");
}

export function drawStroke(path: string, series: number): string {
  return `<path class="line s${series}" stroke-dasharray="${DASHES[series] ?? ""}" d="${path}"/>`;
}

/** Draws the mark of a point. */
export function drawMark(series: number, x: number, y: number): string {
  if (series === 0) return `<circle class="m0" cx="${x}" cy="${y}" r="3.5"/>`;
  const shapes = [
    "M-3 -3h6v6h-6z",
    "M0 -4.5L4.5 3.5h-9z",
    "M0 -4.5L4.5 0L0 4.5L-4.5 0z",
    "M0 4.5L4.5 -3.5h-9z",
    "M-1.5 -4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "M-4.5 -2h9v4h-9z",
    "M-4 -4h8l-8 8h8z",
    "M-4 -4v8l8 -8v8z",
    "M-2 -4.5h4v9h-4z",
  ];
  return `<path class="m${series}" transform="translate(${x} ${y})" d="${shapes[series - 1] ?? ""}"/>`;
}

export const round = (value: number) => Number(value.toFixed(1));

export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
