/**
 * The places of the page: a table or a plot each, made from the JSON of the runs, between
 * `<!-- figures: NAME -->` and `<!-- end -->`. The text around them is written by hand. Pure.
 */
import { capitalize } from "../../src/base/units";
import { benchTables } from "./bench-tables";
import type { Inputs } from "./inputs";
import { drawKnees, drawLimit, drawTrials } from "./limit-tables";
import { joinBlocks } from "./markdown";
import { drawOriginal } from "./original";
import { curvesOf, type Drawing, drawingsOf } from "./plots";

export interface Figures {
  /** Markdown by the name of the place. */
  readonly places: Readonly<Record<string, string>>;
  readonly drawings: readonly Drawing[];
}

export function figuresOf({ bench, limit, rate, sweep }: Inputs): Figures {
  const drawings = drawingsOf(bench);
  const curves = sweep ? curvesOf(sweep) : [];
  const places = benchTables(bench);
  for (const [topic, plot] of Object.entries(drawings))
    places[topic] = joinBlocks(embed(plot), places[topic] ?? "");
  if (limit) {
    places["limit of clients"] = drawLimit(limit, bench.host);
    places["trials of clients"] = drawTrials(limit, "clients");
  }
  if (rate) {
    places["limit of the rate"] = drawLimit(rate, bench.host);
    places["trials of the rate"] = drawTrials(rate, "rate");
  }
  if (sweep) {
    places.curves = joinBlocks(...curves.map(embed), drawKnees(sweep));
    places["sweep of clients"] = drawTrials(sweep, "clients", true);
    places["sweep of connections"] = drawTrials(sweep, "throughput");
  }
  places.original = drawOriginal(bench, limit);
  return { places, drawings: [...Object.values(drawings), ...curves] };
}

const embed = ({ file, title }: Drawing) => `![${title}](results/${file})`;

const MARKER = /<!-- figures: (.+) -->\n[\s\S]*?<!-- end -->/g;
const drawPlace = (name: string, content: string) =>
  `<!-- figures: ${joinBlocks(`${name} -->`, content, "<!-- end -->")}`;

/** Fills the places of a page. A place that the runs have nothing for keeps what it has. */
export function fillPage(page: string, { places }: Figures): { page: string; kept: string[] } {
  const kept: string[] = [];
  const filled = page.replace(MARKER, (old, name: string) => {
    const content = places[name];
    if (content === undefined) kept.push(name);
    return content === undefined ? old : drawPlace(name, content);
  });
  return { page: filled, kept };
}

/** A page of all places, with no text. */
export function emptyPage({ places }: Figures): string {
  const blocks = Object.entries(places).map(([name, content]) =>
    joinBlocks(`## ${capitalize(name)}`, drawPlace(name, content)),
  );
  return `${joinBlocks("# Results", ...blocks)}\n`;
}
