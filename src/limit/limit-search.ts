/**
 * `kilofork limit`: finds the breaking point of this machine and what breaks. It starts the servers
 * and the clients itself and changes no setting of the system. However it ends, nothing is left: it
 * tells all it has started to end, and what is killed with it ends at the end of its standard input.
 */
import { cpus, constants as os, release } from "node:os";
import { KiloforkError } from "../base/errors";
import { plural, showCount } from "../base/units";
import { EXIT } from "../command/exit";
import { lostOutput, openResult } from "../command/output";
import { type Machine, readMachine } from "../machine/capacity";
import { type Bound, boundsOf, memoryBudget } from "./bounds";
import { Harness } from "./harness";
import { CLIENT, type Limit } from "./judge";
import { drawPage } from "./page";
import { type Found, search } from "./search";
import { HEADERS, loadOf, showOpening, showTrial, showVerdict } from "./show";
import { outcomeOf, type Trial, Trials } from "./trial";

export interface LimitOptions {
  readonly find: "clients" | "rate";
  readonly maxClients: number | undefined;
  /** Of a search for the rate. */
  readonly connections: number;
  readonly sloMs: number;
  readonly holdMs: number;
  /** 0 to 1. */
  readonly maxMemoryShare: number;
  readonly repeats: number;
  readonly sweep: boolean;
  readonly json: boolean;
  readonly html: string | undefined;
}

/** The result, as `--json` gives it. */
export interface LimitResult {
  readonly kind: "limit";
  readonly schema: 1;
  /** The search was completed, something held, and the server was what it was about. */
  readonly ok: boolean;
  readonly problems: readonly string[];
  readonly find: "clients" | "rate";
  /** The largest number at one instant that held; null when the rate was searched. */
  readonly clients: number | null;
  /** Requests a second; null when clients were searched. */
  readonly rate: number | null;
  /** False: it was interrupted. */
  readonly complete: boolean;
  readonly firstLimit: Limit | null;
  readonly secondLimit: Limit | null;
  /** What a reader of the figures ought to know. */
  readonly notes: readonly string[];
  /** What the machine allowed beforehand, the smallest first. */
  readonly bounds: readonly Bound[];
  readonly sloMs: number;
  readonly repeats: number;
  readonly machine: {
    readonly cpus: number;
    readonly model: string;
    readonly memoryBytes: number;
    readonly system: string;
  };
  readonly trials: readonly Trial[];
}

const FIRST_CLIENTS = 1000;
const FIRST_RATE = 2000;
const MOST_RATE = 10_000_000;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export async function runLimit(options: LimitOptions): Promise<number> {
  const machine = readMachine();
  const bounds = boundsOf(machine, options);
  const [tightest] = bounds;
  const need = options.find === "rate" ? options.connections : 1;
  if (!tightest || tightest.clients < need)
    throw new KiloforkError(
      "ERR_MACHINE_LIMIT",
      `no room for ${plural(need, "client")} beside what is left to others: ${tightest?.name} has room for ${showCount(tightest?.clients ?? 0)} (${tightest?.setting})`,
    );
  const savePage = openResult(options.html, "page");
  const stopped = new AbortController();
  let signal: (typeof SIGNALS)[number] | undefined;
  const handlers = SIGNALS.map((name) => {
    const handler = () => {
      signal ??= name;
      stopped.abort();
    };
    process.on(name, handler);
    return { name, handler };
  });
  let lost: number | undefined;
  const loseOutput = (error: Error) => {
    lost ??= lostOutput(error);
    stopped.abort();
  };
  process.stdout.on("error", loseOutput);
  const limitSearch = new LimitSearch(options, machine, bounds, stopped.signal);
  try {
    const result = await limitSearch.run();
    const text = options.json ? JSON.stringify(result, null, 2) : showVerdict(result);
    if (lost === undefined) process.stdout.write(`${text}\n`);
    savePage?.(drawPage(result));
    return lost ?? exitCode(result, signal);
  } finally {
    process.stdout.removeListener("error", loseOutput);
    for (const { name, handler } of handlers) process.removeListener(name, handler);
  }
}

/** One search, from its opening line to its result. */
class LimitSearch {
  private readonly trials: Trials;
  private readonly progress = new Progress();

  constructor(
    private readonly options: LimitOptions,
    private readonly machine: Machine,
    private readonly bounds: readonly Bound[],
    private readonly signal: AbortSignal,
  ) {
    const floor = (1 - options.maxMemoryShare) * machine.memoryTotal;
    const harness = new Harness(machine, floor, signal, (text) => this.progress.show(text));
    this.trials = new Trials(harness, options, (trial) => this.print(showTrial(trial)));
  }

  async run(): Promise<LimitResult> {
    const { find, repeats, connections } = this.options;
    const ceiling = find === "rate" ? MOST_RATE : (this.bounds[0]?.clients ?? 0);
    this.print(showOpening(this.options, describeMachine(this.machine), this.bounds));
    try {
      const found = await search({
        first: find === "rate" ? FIRST_RATE : FIRST_CLIENTS,
        max: ceiling,
        repeats,
        signal: this.signal,
        attempt: (load) =>
          this.unlessInterrupted(async () => {
            if (find === "rate") return outcomeOf(await this.trials.rate(load, connections));
            return this.fitsMemory(load) ? outcomeOf(await this.trials.clients(load)) : "broke";
          }, "broke"),
      });
      if (this.options.sweep && found.complete)
        await this.unlessInterrupted(() => this.sweep(found.held), undefined);
      return this.conclude(found);
    } finally {
      this.progress.clear();
    }
  }

  /** The curve below the limit: what the search did not try. */
  private async sweep(limit: number): Promise<void> {
    const { find, connections } = this.options;
    const held = this.trials.all.filter((trial) => trial.held).map(loadOf);
    const isNew = (load: number) => held.every((other) => Math.abs(load / other - 1) > 0.25);
    for (const load of series(limit, [1, 3]).filter(isNew))
      if (find === "rate") await this.trials.rate(load, connections);
      else await this.trials.clients(load);
    const most = find === "rate" ? (this.bounds[0]?.clients ?? 0) : limit;
    const counts = series(find === "rate" ? Math.min(most, FIRST_CLIENTS) : most, [1, 3]);
    if (most >= 2 * (counts.at(-1) ?? 0) && find === "clients") counts.push(most);
    this.print(HEADERS.throughput);
    for (const count of counts) await this.trials.throughput(count);
  }

  /** An interruption in the middle of a trial ends it by an exception. */
  private async unlessInterrupted<T>(body: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await body();
    } catch (error) {
      if (error === this.signal.reason) return otherwise;
      throw error;
    }
  }

  /** By what children cost in the last trial: a trial that cannot fit is not begun. */
  private fitsMemory(clients: number): boolean {
    const cost = this.trials.all.findLast(({ busyChildBytes }) => busyChildBytes !== null);
    const budget = memoryBudget(readMachine(), this.options.maxMemoryShare);
    return clients * (cost?.busyChildBytes ?? 0) <= budget;
  }

  private conclude({ held, broke, complete }: Found): LimitResult {
    const { find, sloMs, repeats } = this.options;
    const cause = this.causeAt(broke);
    const ceiling = this.bounds.map(limitOf);
    const [firstLimit = null, secondLimit = null] = cause ? [cause, ...ceiling] : ceiling;
    const problems: string[] = [];
    if (!complete || this.signal.aborted) problems.push("interrupted");
    else if (held === 0) problems.push(`not even one held: ${cause?.evidence}`);
    else if (cause?.name === CLIENT)
      problems.push(
        `the client was the bottleneck: the server may do more than ${showCount(held)}`,
      );
    return {
      kind: "limit",
      schema: 1,
      ok: problems.length === 0,
      problems,
      find,
      clients: find === "clients" ? held : null,
      rate: find === "rate" ? held : null,
      complete,
      firstLimit,
      secondLimit,
      notes: noteOfOthers(this.trials.all),
      bounds: this.bounds,
      sloMs,
      repeats,
      machine: describeMachine(this.machine),
      trials: this.trials.all,
    };
  }

  /** What broke at the smallest load that did not hold. Without a trial, it was not begun. */
  private causeAt(broke: number | null): Limit | null {
    if (broke === null) return null;
    const { find } = this.options;
    const trial = this.trials.all.findLast(
      (t) => t.kind === find && !t.held && loadOf(t) === broke,
    );
    return (
      trial?.cause ?? {
        name: "memory",
        setting: "--max-memory, or more memory",
        clients: broke - 1,
        evidence: "by what a child costs, more would not have left enough of it",
      }
    );
  }

  private print(text: string): void {
    this.progress.clear();
    if (!this.options.json) process.stdout.write(`${text}\n`);
  }
}

/** What goes on now, on a terminal: one line that is written again and again. */
class Progress {
  private readonly visible = process.stderr.isTTY;

  show(text: string): void {
    if (this.visible) process.stderr.write(`\r\x1b[K           ${text} …`);
  }

  clear(): void {
    if (this.visible) process.stderr.write("\r\x1b[K");
  }
}

/** Work of others, seen while nothing of ours ran: the figures are lower bounds then. */
function noteOfOthers(trials: readonly Trial[]): string[] {
  const NOTABLE_SHARE = 0.2;
  const shares = trials.map(({ otherCpuShare }) => otherCpuShare).sort((a, b) => a - b);
  const median = shares[Math.floor(shares.length / 2)] ?? 0;
  return median < NOTABLE_SHARE
    ? []
    : [
        `between the trials the processors were ${Math.round(median * 100)}% busy with other work: a quiet machine may do more, and the memory of few children is not to be trusted`,
      ];
}

function limitOf({ name, setting, clients }: Bound): Limit {
  return { name, setting, clients, evidence: "" };
}

function describeMachine({ cpus: count, memoryTotal }: Machine): LimitResult["machine"] {
  return {
    cpus: count,
    model: cpus()[0]?.model ?? "",
    memoryBytes: memoryTotal,
    system: `Linux ${release()}, Node ${process.version}`,
  };
}

/** Round numbers from 10 up to a limit, without it: these digits in each power of ten. */
function series(limit: number, digits: readonly number[]): number[] {
  const numbers: number[] = [];
  for (let power = 10; power < limit; power *= 10)
    numbers.push(...digits.map((digit) => digit * power).filter((number) => number < limit));
  return numbers;
}

function exitCode(result: LimitResult, signal: (typeof SIGNALS)[number] | undefined): number {
  if (signal !== undefined) return 128 + os.signals[signal];
  if (result.firstLimit?.name === CLIENT) return EXIT.unjudgeable;
  return result.ok ? EXIT.yes : EXIT.no;
}
