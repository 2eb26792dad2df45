/** When, where, what and how: all that a figure needs to mean anything. */
import { plural, showCount } from "../../src/base/units";
import type { BenchReport } from "../report";
import { commandOf } from "./breaking";
import type { Inputs } from "./inputs";
import { drawList, drawTable, escapeMarkdown, joinBlocks, left } from "./markdown";

export function drawRun({ startedAt, host, versions }: BenchReport): string {
  const { cpus, model, memoryBytes, kernel, node } = host;
  const rows = [
    ["date", `${startedAt.slice(0, 16).replace("T", " ")} UTC`],
    ["processors", `${cpus} x ${model}`],
    ["memory", `${showCount(memoryBytes / 2 ** 20)} MB`],
    ["kernel", `Linux ${kernel}`],
    ["Node.js", node],
    ...Object.entries(versions).filter(([name]) => name !== "Node.js"),
  ];
  const cells = rows.map((row) => row.map((cell = "") => escapeMarkdown(cell)));
  return joinBlocks(["## The run", drawTable([left(""), left("")], cells)]);
}

export function drawMethod(inputs: Inputs): string {
  const { runs, size } = inputs.bench;
  return joinBlocks([
    "## The method",
    drawList([
      `Each figure is measured in ${plural(runs, "round")}. A round measures every subject once, in the order of the table (A B C, A B C), so that a machine that is slow for a while is so for all of them.`,
      "A table gives the median of the rounds and the spread, from the least to the most. The last column is the first subject's value divided by that of the row: the median of the ratios of each round. Machines differ: compare ratios, and those of one run only.",
      `Unless a figure says otherwise, ${plural(size.children, "child", "children")}, and ${showCount(size.requests)} requests for one measurement of a rate, over all connections, whose clients begin when all of them have been greeted.`,
      "The load comes over loopback, from the same machine: client and server share the processors. One client, kilofork's, loads all servers, but where a figure names another.",
      "kilofork's client verifies every reply byte for byte. A measurement with a reply that is wrong or missing has failed: its subject is not measured again, and the page says so.",
      "A subject that the machine has no room for, or that is not installed, is left out of that figure, with a note.",
    ]),
    "The commands:",
    ["```", ...commandsOf(inputs), "```"].join("\n"),
  ]);
}

function commandsOf({ bench, limit, rate, sweep }: Inputs): string[] {
  const results = { limit, rate, sweep };
  const commands = Object.entries(results).flatMap(([name, result]) =>
    result ? [[name, `${commandOf(result)} > ${name}.json`] as const] : [],
  );
  const inputs = ["bench", ...commands.map(([name]) => name)].map(
    (name) => `--${name} ${name}.json`,
  );
  return [
    `npm run bench -- ${[...withoutOut(bench.args), "--out", "bench.json"].join(" ")}`,
    ...commands.map(([, command]) => command),
    `npm run results -- ${inputs.join(" ")}`,
  ];
}

/** Where it was written to is nobody's concern. */
function withoutOut(args: readonly string[]): string[] {
  const quote = (arg: string) => (/^[\w.,:/=-]+$/.test(arg) ? arg : `'${arg}'`);
  return args.filter((arg, i) => !arg.startsWith("--out") && args[i - 1] !== "--out").map(quote);
}
