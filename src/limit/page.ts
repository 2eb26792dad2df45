/** The page of --html: result, plots and all trials, self-contained. */
import { capitalize, showCount, showDuration } from "../base/units";
import type { Percentiles } from "../client/latency";
import { drawPlot } from "../report/plot";
import { escapeXml } from "../report/svg";
import type { Limit } from "./judge";
import { plotsOf } from "./plots";
import type { LimitResult } from "./result";
import { describeLimit, showCondition, showFound } from "./text";
import { outcomeOf, type Trial } from "./trial";

const MEGABYTE = 2 ** 20;

const STYLE = `
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:1340px;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}
@media (prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}}
h1{font-size:1.5rem;margin-bottom:0}.answer{font-size:1.2rem;font-weight:600}
.plots{display:flex;flex-wrap:wrap;gap:1rem}.plots svg{max-width:100%;height:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}
th,td{text-align:right;padding:.2rem .7rem;border-bottom:1px solid #8884}th{font-weight:600}
td.text,th.text{text-align:left}.wide{overflow-x:auto}`;

export function drawPage(result: LimitResult): string {
  const { problems, machine, firstLimit, secondLimit } = result;
  const answer = escapeXml(capitalize(showFound(result)));
  return [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>kilofork limit: ${answer}</title><style>${STYLE}</style></head><body>`,
    "<h1>kilofork limit</h1>",
    `<p>${machine.cpus} x ${escapeXml(machine.model)}, ${showCount(machine.memoryBytes / MEGABYTE)} MB, ${escapeXml(machine.system)}</p>`,
    `<p class="answer">${answer}</p>`,
    `<p>${showCondition(result)}</p>`,
    "<ul>",
    ...(firstLimit ? [`<li>First limit: ${showLimit(firstLimit)}</li>`] : []),
    ...(secondLimit ? [`<li>Second limit: ${showLimit(secondLimit)}</li>`] : []),
    ...[...problems, ...result.notes].map((text) => `<li>${escapeXml(text)}</li>`),
    "</ul>",
    `<div class="plots">${plotsOf(result)
      .map(({ plot }) => drawPlot(plot))
      .join("\n")}</div>`,
    "<h2>Trials</h2>",
    `<div class="wide">${drawTable(result.trials)}</div>`,
    "</body></html>\n",
  ].join("\n");
}

const showLimit = (limit: Limit) => escapeXml(`${describeLimit(limit)}; moved by ${limit.setting}`);

const COLUMNS: readonly [string, (trial: Trial) => string][] = [
  ["trial", ({ number }) => String(number)],
  ["kind", ({ kind }) => kind],
  ["clients", ({ clients }) => showCount(clients)],
  ["rate asked", ({ rate }) => (rate === null ? "" : `${showCount(rate)}/s`)],
  ["rate", ({ requestsPerSecond }) => `${showCount(requestsPerSecond)}/s`],
  ["peak in the log", ({ peak }) => showCount(peak)],
  ["together", ({ togetherMs }) => showDuration(togetherMs)],
  ["children up", ({ upMs }) => (upMs === null ? "" : showDuration(upMs))],
  ["connect p99", ({ connectMs }) => time(connectMs)],
  ["beyond the work p99", ({ beyondMs }) => time(beyondMs)],
  ["client's lag p99", ({ lagMs }) => time(lagMs)],
  [
    "kB a busy child",
    ({ busyChildBytes: bytes }) => (bytes === null ? "" : String(Math.round(bytes / 1024))),
  ],
  ["SYNs again", ({ synRetransmits }) => showCount(synRetransmits)],
  ["ListenOverflows", ({ listenOverflows }) => showCount(listenOverflows)],
  ["ListenDrops", ({ listenDrops }) => showCount(listenDrops)],
  ["CPU busy", ({ busiestCpuShare }) => `${Math.round(busiestCpuShare * 100)} %`],
];

const time = (ms: Percentiles | null) => (ms?.count ? showDuration(ms.p99) : "");

function drawTable(trials: readonly Trial[]): string {
  const head = COLUMNS.map(([name]) => `<th>${name}</th>`).join("");
  const rows = trials.map((trial) => {
    const cells = COLUMNS.map(([, show]) => `<td>${escapeXml(show(trial))}</td>`).join("");
    const verdict = trial.held ? "held" : `${outcomeOf(trial)}: ${trial.problems.join("; ")}`;
    return `<tr>${cells}<td class="text">${escapeXml(verdict)}</td></tr>`;
  });
  return `<table><tr>${head}<th class="text">verdict</th></tr>${rows.join("\n")}</table>`;
}
