/** The bench's figures, in sections: what is measured, plots, tables, and what is to be known of them. */
import { capitalize } from "../../src/base/units";
import type { Topic } from "../figures/figure";
import type { BenchReport, MeasuredFigure } from "../report";
import { isMeaningful, ownOf } from "./comparisons";
import { showMeasured, showVerdict } from "./goals";
import {
  drawList,
  drawTable,
  escapeMarkdown,
  joinBlocks,
  left,
  right,
  showRatio,
  showValue,
} from "./markdown";
import type { Drawing } from "./plots";

interface Section {
  readonly title: string;
  readonly topics: readonly Topic[];
  readonly text: string;
}

const SECTIONS: readonly Section[] = [
  {
    title: "Memory and start",
    topics: ["idle memory", "busy memory", "start"],
    text: "Memory is what more is in use in the whole system for each child (`AnonPages`, `Shmem`, `Slab`, `KernelStack`, `PageTables` and `Percpu` of /proc/meminfo), without the first process of the server. A busy child has a client, whose socket is in it, and 32 kB of the kernel's from which it sends.",
  },
  {
    title: "All clients at once",
    topics: ["window", "growth", "round trip"],
    text: "`recvd` is the record of a request that a process of its own has received and checked. Each server has its own client here, and all clients connect at once. From few children, the pool has to grow while the clients wait. The reference's client does not verify replies. Apache's rule is computed, not measured: 1, 2, 4 … 32 forks a second.",
  },
  {
    title: "Requests a second",
    topics: ["rate", "cost"],
    text: "Each client sends its next request when it has its reply (closed loop), without work. kilofork, the reference, Net::Server, Python and the bare loop have a process for each connection; node:cluster has one for each processor, node:net one. All but the bare loop write two lines of log for each request.",
  },
  {
    title: "Acknowledged when on disk",
    topics: ["rate synced", "requests a sync", "rate on a slow disk"],
    text: "`--ack synced`: a reply waits until its record is on disk, and one sync serves all that wait. `written` is kilofork, too, which waits for no disk.",
  },
  {
    title: "System calls and the client's start",
    topics: ["system calls", "clock calls", "client start"],
    text: "Counted by strace, in the process that serves, on a connection that is kept.",
  },
  {
    title: "Log and counters",
    topics: ["log", "counters"],
    text: "Several processes write to one file, or count in one place. A bare write() writes prepared bytes. The libraries write each line by itself, or gather lines.",
  },
];

/** Those that something was measured of. */
export function drawSections(
  report: BenchReport,
  drawings: Partial<Record<Topic, Drawing>>,
): string {
  const sections = SECTIONS.map(({ title, topics, text }) => {
    const figures = topics.flatMap((topic) =>
      report.figures.filter((figure) => figure.topic === topic),
    );
    if (figures.length === 0) return "";
    const plots = topics.flatMap((topic) => drawings[topic] ?? []);
    return joinBlocks([`## ${title}`, text, ...plots.map(embed), ...figures.map(drawFigure)]);
  });
  return joinBlocks(sections);
}

export const embed = ({ file, title }: Drawing) => `![${title}](results/${file})`;

function drawFigure(figure: MeasuredFigure): string {
  const { figure: name, first, unit, subjects, goals, notes } = figure;
  const own = ownOf(figure);
  const rows = subjects.map((subject) => {
    const { label, median, min, max, ratio } = subject;
    const hasRatio = own && subject !== own && isMeaningful({ figure, own, other: subject });
    return [
      label,
      showValue(median, unit),
      `${showValue(min, "")} to ${showValue(max, "")}`,
      hasRatio ? showRatio(ratio) : "",
    ];
  });
  const columns = [left(""), right("median"), right("least to most"), right(`${first} / it`)];
  return joinBlocks([
    `### ${capitalize(name)}`,
    subjects.length > 0 ? drawTable(columns, rows) : "Nothing could be measured.",
    drawList([
      ...goals.map((goal) => `goal: ${goal.text}: ${showMeasured(goal)}, ${showVerdict(goal)}`),
      ...noteOfNothing(figure),
      ...firstOfEach(notes).map(escapeMarkdown),
    ]),
  ]);
}

function noteOfNothing({ subjects }: MeasuredFigure): string[] {
  const none = subjects.filter(({ values }) => values.some((value) => value < 0));
  return none.length === 0
    ? []
    : [
        `below zero, the rest of the system gave back more than was taken: ${none.map(({ label }) => label).join(", ")} cannot be compared`,
      ];
}

/** A round may say of a subject what one before has said in other numbers. */
function firstOfEach(notes: readonly string[]): string[] {
  const said = new Map<string, string>();
  for (const note of notes) {
    const whom = note.split(": ", 1)[0] ?? "";
    if (!said.has(whom)) said.set(whom, note);
  }
  return [...said.values()];
}
