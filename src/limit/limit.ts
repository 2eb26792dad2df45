/** The search for the breaking point, from its opening lines to its result. */

import { cpus, release } from "node:os";
import { median } from "../base/numbers";
import { MOST_REQUESTS_A_SECOND } from "../base/ranges";
import { showCount } from "../base/units";
import { type Machine, readMachine } from "../machine/capacity";
import { canRedraw } from "../machine/terminal";
import { type Bound, memoryBudget } from "./bounds";
import { Harness } from "./harness";
import { CLIENT, type Limit } from "./judge";
import type { LimitOptions, LimitResult } from "./result";
import { type Found, search } from "./search";
import { HEADERS, loadOf, showOpening, showTrial } from "./text";
import { outcomeOf, type Trial, Trials } from "./trial";

const FIRST_CLIENTS = 1000;
const FIRST_RATE = 2000;

export class LimitSearch {
  private readonly trials: Trials;
  private readonly progress = new Progress();

  constructor(
    private readonly options: LimitOptions,
    private readonly machine: Machine,
    private readonly bounds: readonly Bound[],
    private readonly signal: AbortSignal,
  ) {
    const floor = (1 - options.maxMemoryShare) * machine.memoryTotal;
    const harness = new Harness({
      ...{ machine, signal, processPer: options.processPer, floorBytes: floor },
      say: (text) => this.progress.show(text),
    });
    this.trials = new Trials(harness, options, (trial) => this.print(showTrial(trial)));
  }

  async run(): Promise<LimitResult> {
    const { find, repeats, connections } = this.options;
    const ceiling = find === "rate" ? MOST_REQUESTS_A_SECOND : (this.bounds[0]?.clients ?? 0);
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

  /** Tries loads below the limit that the search did not try, for the plots. */
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

  /** Returns `otherwise` if `body` is interrupted: then a trial throws the reason of the signal. */
  private async unlessInterrupted<T>(body: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await body();
    } catch (error) {
      if (error === this.signal.reason) return otherwise;
      throw error;
    }
  }

  /** Whether so many children fit, by the memory of a child in the last trial. */
  private fitsMemory(clients: number): boolean {
    const cost = this.trials.all.findLast(({ busyChildBytes }) => busyChildBytes !== null);
    const budget = memoryBudget(readMachine(), this.options.maxMemoryShare);
    return clients * (cost?.busyChildBytes ?? 0) <= budget;
  }

  private conclude({ held, broke, complete }: Found): LimitResult {
    const { find, sloMs, repeats, processPer } = this.options;
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
      processPer,
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

  /** What broke at the smallest load that did not hold. A load that did not fit had no trial. */
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
        evidence: "by the memory of a child, more would not leave enough",
      }
    );
  }

  private print(text: string): void {
    this.progress.clear();
    if (!this.options.json) process.stdout.write(`${text}\n`);
  }
}

/** Shows the present step on a terminal, in one line that is overwritten. */
class Progress {
  private readonly visible = canRedraw(process.stderr);

  show(text: string): void {
    if (this.visible) process.stderr.write(`\r\x1b[K           ${text} …`);
  }

  clear(): void {
    if (this.visible) process.stderr.write("\r\x1b[K");
  }
}

/** A note if other work kept the processors busy between trials: the figures are lower bounds. */
function noteOfOthers(trials: readonly Trial[]): string[] {
  const NOTABLE_SHARE = 0.2;
  const share = median(trials.map(({ otherCpuShare }) => otherCpuShare));
  return trials.length === 0 || share < NOTABLE_SHARE
    ? []
    : [
        `between the trials the processors were ${Math.round(share * 100)}% busy with other work: an idle machine may do more, and the memory of few children is unreliable`,
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

/** Returns round numbers from 10 to below a limit: these digits times each power of ten. */
function series(limit: number, digits: readonly number[]): number[] {
  const numbers: number[] = [];
  for (let power = 10; power < limit; power *= 10)
    numbers.push(...digits.map((digit) => digit * power).filter((number) => number < limit));
  return numbers;
}
