/**
 * One run of a server, folded from its records: the number in flight, and the ledger. The order of
 * the file is the order of events; times serve for durations only.
 */
import { type Damage, type DamageKind, DamageTally, isHarmless, type Place } from "../log/damage";
import { Kind, MARKER_LINE_BYTES, type Record } from "../log/record";

export interface Span {
  readonly count: number;
  /** Milliseconds since 1970, 0 when there was none. */
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Of the selected requests: those of a client, those with a prefix, or all. */
export interface Concurrency {
  readonly received: Span;
  readonly completed: Span;
  /** The largest number received and not completed at one instant. */
  readonly peak: number;
  /** Distinct processes at the peak: each has received one of these requests. */
  readonly pids: number;
  /** The longest stretch at the peak. */
  readonly peakFromMs: number;
  readonly peakHeldMs: number;
  /** Mean number in flight, from the first that was received to the end of the last. */
  readonly average: number;
  /** The length of that time. */
  readonly averageOverMs: number;
}

/** All requests of the run. */
export interface Ledger {
  readonly received: number;
  readonly completed: number;
  readonly unfinished: number;
  /** By the last `total requests` record. */
  readonly counted: number;
  readonly died: number;
  /** Completed, but never acknowledged, since their sync failed. */
  readonly takenBack: number;
  readonly left: number;
  readonly refused: { readonly [code: string]: number };
  /** Torn heads and torn tails. */
  readonly tornHeads: number;
  /** Records that were cut by a full disk and closed by their writer. */
  readonly shortWrites: number;
  /** Lines that are damage. */
  readonly foreignLines: number;
  /** Bytes that are no record, by kind, with the first places of each. */
  readonly damage: readonly Damage[];
}

export interface RunReport extends Concurrency {
  /** pid, 0 when the log begins in the middle of the run. */
  readonly server: number;
  /** Whether the log has the beginning of the run: without it the ledger cannot be checked. */
  readonly begun: boolean;
  readonly where: string;
  readonly utcOffsetMinutes: number;
  readonly startedMs: number;
  /** Whether the log has the end of the run: without it the server runs, or was killed. */
  readonly ended: boolean;
  readonly ledger: Ledger;
  readonly problems: readonly string[];
}

/** The open request and the counts of one process. */
interface Process {
  openSinceMs: number; // -1: nothing
  openedBy: number; // the number of that record
  selected: boolean; // the open request is one of those that were asked for
  isInFlight: boolean; // and counts as such: see Run.uncertain
  completed: number; // since its birth, -1: its birth is not in the log; without what was taken back
}

const MOST_EXAMPLES = 3;
/** What separates two processes that take the time and then write. */
const MOST_OUT_OF_ORDER_MS = 1000;

export class Run {
  private server = 0;
  private where = "";
  private offsetMinutes = 0;
  private startedMs = 0;
  private ended = false;
  private lastRecordMs = 0;
  private readonly processes = new Map<number, Process>();
  private readonly problems: string[] = [];

  private inFlight = 0;
  private lastEventMs = 0;
  private area = 0; // requests in flight x milliseconds
  private lastedMs = 0;
  private peak = 0;
  private atPeakSinceMs = -1;
  private peakFromMs = 0;
  private peakHeldMs = 0;
  private readonly selectedReceived = new Tally();
  private readonly selectedCompleted = new Tally();

  private received = 0;
  private completed = 0;
  private unfinished = 0;
  private counted = 0;
  private died = 0;
  private takenBack = 0;
  private left = 0;
  private readonly refused: { [code: string]: number } = Object.create(null); // without the names of Object.prototype
  private readonly damage = new DamageTally();
  private bareMarkers = 0;
  private countErrors = 0;
  private number = 0; // of the record

  /**
   * Numbers of the received records whose requests ended at an unknown time, since the log could not
   * be written. A second pass over the records does not count these requests as in flight.
   */
  readonly uncertain = new Set<number>();

  /** `fromStart`: the run's `Server init` is in the log. */
  constructor(
    private readonly fromStart: boolean,
    private readonly known: ReadonlySet<number>,
    private readonly onChange?: (timeMs: number, inFlight: number) => void,
  ) {}

  /** Of a record's time, where the log says what that is off; else undefined. */
  utcOf(timeMs: number): number | undefined {
    return this.server > 0 ? timeMs - this.offsetMinutes * 60_000 : undefined;
  }

  /** `selected`: whether the record's message is one of those that were asked for. */
  add(record: Record, selected: boolean): void {
    const { pid, timeMs } = record;
    if (this.startedMs === 0) this.startedMs = timeMs;
    this.lastRecordMs = timeMs;
    this.number++;
    switch (record.kind) {
      case Kind.front:
        this.introduce(pid, record.text);
        return;
      case Kind.birth:
        this.processOf(pid); // may have received a request by now: its parent writes this record
        return;
      case Kind.received:
        this.receive(pid, timeMs, selected);
        return;
      case Kind.completed:
        this.complete(pid, timeMs, record.count, selected);
        return;
      case Kind.takenBack:
        this.takeBack(pid, record.count);
        return;
      case Kind.total:
        this.counted = record.count;
        // A request is recorded before it is counted: the inequality holds at every line.
        if (this.fromStart && record.count > this.completed - this.takenBack)
          this.problem(
            `counted ${record.count} requests when only ${this.completed - this.takenBack} completed records were there`,
          );
        return;
      case Kind.unauthorized:
        this.refuse("unauthorized");
        return;
      case Kind.refused:
        this.refuse(record.text);
        return;
      case Kind.ended:
        this.bury(pid, timeMs, record.abnormal);
        return;
      case Kind.stop:
        this.ended = true;
        return;
      default:
        return;
    }
  }

  addDamage(kind: DamageKind, place: Place): void {
    this.damage.add(kind, place);
    if (kind === "shortWrite" && place.bytes === MARKER_LINE_BYTES) this.bareMarkers++;
    if (!isHarmless(kind) && this.foreignLines <= MOST_EXAMPLES)
      this.problem(`no record at offset ${place.offset}`);
  }

  get foreignLines(): number {
    return this.damage.count("nulRun", "halfRecord", "foreignLine");
  }

  report(): RunReport {
    this.change(this.lastRecordMs, 0);
    this.endStretch(); // that is still at the peak
    const open = [...this.processes.values()].filter(({ openSinceMs }) => openSinceMs >= 0).length;
    const ledger: Ledger = {
      received: this.received,
      completed: this.completed,
      unfinished: this.unfinished + open,
      counted: this.counted,
      died: this.died,
      takenBack: this.takenBack,
      left: this.left,
      refused: this.refused,
      tornHeads: this.damage.count("tornHead", "tornTail"),
      shortWrites: this.damage.count("shortWrite") - this.bareMarkers,
      foreignLines: this.foreignLines,
      damage: this.damage.report(),
    };
    const toUtc = (ms: number) => (ms > 0 ? ms - this.offsetMinutes * 60_000 : 0);
    return {
      server: this.server,
      begun: this.fromStart,
      where: this.where,
      utcOffsetMinutes: this.offsetMinutes,
      startedMs: toUtc(this.startedMs),
      ended: this.ended,
      received: this.selectedReceived.span(toUtc),
      completed: this.selectedCompleted.span(toUtc),
      peak: this.peak,
      pids: this.peak, // one open request a process: see receive()
      peakFromMs: toUtc(this.peakFromMs),
      peakHeldMs: this.peakHeldMs,
      average: this.lastedMs > 0 ? this.area / this.lastedMs : 0,
      averageOverMs: this.lastedMs,
      ledger,
      problems: [...this.problems, ...this.ledgerProblems(ledger)],
    };
  }

  /**
   * replies <= counted <= completed <= counted + died + taken back; the first of them needs the
   * client.
   */
  private ledgerProblems({ counted, completed, died, takenBack, foreignLines }: Ledger): string[] {
    // A marker on a line of its own closes a head that another record has followed.
    const tornHeads = this.damage.count("tornHead") - this.bareMarkers;
    const problems: string[] = [];
    if (this.countErrors > 0)
      problems.push(`${this.countErrors} completed records do not continue their child's count`);
    if (!this.fromStart) return problems;
    if (this.ended && completed > counted + died + takenBack)
      problems.push(
        `${completed} requests completed, but only ${counted} counted, ${takenBack} not acknowledged and ${died} children died`,
      );
    if (this.ended && tornHeads > died)
      problems.push(`${tornHeads} records are torn, but only ${died} children died`);
    if (foreignLines > MOST_EXAMPLES) problems.push(`${foreignLines} lines are no records`);
    return problems;
  }

  private introduce(pid: number, text: string): void {
    this.server = pid;
    const [, where = "", sign = "+", hours = "0", minutes = "0"] =
      /^ at (\S+), .* UTC([+-])(\d\d):(\d\d)$/.exec(text) ?? [];
    this.where = where;
    this.offsetMinutes = (Number(hours) * 60 + Number(minutes)) * (sign === "-" ? -1 : 1);
  }

  /** A process has one request at a time: the next one means that the last will never complete. */
  private receive(pid: number, timeMs: number, selected: boolean): void {
    const process = this.processOf(pid);
    if (process.openSinceMs >= 0) this.abandon(process, timeMs, true);
    this.received++;
    process.openSinceMs = timeMs;
    process.openedBy = this.number;
    process.selected = selected;
    process.isInFlight = selected && !this.known.has(this.number);
    if (selected) this.selectedReceived.add(timeMs);
    if (process.isInFlight) this.change(timeMs, 1);
  }

  private complete(pid: number, timeMs: number, count: number, selected: boolean): void {
    const process = this.processOf(pid);
    this.completed++;
    if (process.completed >= 0 && count !== process.completed + 1) this.countErrors++;
    process.completed = count;
    if (process.openSinceMs < 0) {
      if (this.fromStart)
        this.problem(`child ${pid} completed its request ${count}, which it never received`);
    } else if (process.isInFlight) {
      this.change(timeMs, -1);
    }
    if (process.openSinceMs >= 0 ? process.selected : selected) this.selectedCompleted.add(timeMs);
    process.openSinceMs = -1;
  }

  /** Nothing is taken back when the disk has lost the record of the completion. */
  private takeBack(pid: number, count: number): void {
    const process = this.processOf(pid);
    if (process.completed !== count) return;
    this.takenBack++;
    process.completed--;
  }

  private bury(pid: number, timeMs: number, abnormal: boolean): void {
    if (abnormal) this.died++;
    else this.left++;
    const process = this.processes.get(pid);
    if (process && process.openSinceMs >= 0) this.abandon(process, timeMs, !abnormal);
    this.processes.delete(pid);
  }

  /** "went on": the process did other things since, so its request had ended before. */
  private abandon(process: Process, timeMs: number, wentOn: boolean): void {
    this.unfinished++;
    process.openSinceMs = -1;
    if (wentOn) this.uncertain.add(process.openedBy);
    if (process.isInFlight) this.change(timeMs, -1);
  }

  private refuse(code: string): void {
    this.refused[code] = (this.refused[code] ?? 0) + 1;
  }

  private processOf(pid: number): Process {
    let process = this.processes.get(pid);
    if (!process) {
      process = {
        ...{ openSinceMs: -1, openedBy: 0, selected: false, isInFlight: false },
        completed: this.fromStart ? 0 : -1,
      };
      this.processes.set(pid, process);
    }
    return process;
  }

  private change(timeMs: number, by: 1 | 0 | -1): void {
    const back = this.lastEventMs - timeMs;
    // The clock was set back, or summer time ended: time continues from there.
    if (back > MOST_OUT_OF_ORDER_MS) {
      this.lastEventMs -= back;
      if (this.atPeakSinceMs >= 0) this.atPeakSinceMs -= back;
    }
    // Processes take the time before they write: times may be out of order.
    const now = Math.max(timeMs, this.lastEventMs);
    const passed = this.inFlight > 0 || by > 0 ? now - (this.lastEventMs || now) : 0;
    this.area += this.inFlight * passed;
    this.lastedMs += passed;
    this.lastEventMs = now;
    if (by < 0 && this.inFlight === this.peak) this.endStretch();
    this.inFlight += by;
    if (by > 0 && this.inFlight >= this.peak) {
      if (this.inFlight > this.peak) {
        this.peakHeldMs = 0;
        this.peakFromMs = now;
      }
      this.peak = this.inFlight;
      this.atPeakSinceMs = now;
    }
    this.onChange?.(now, this.inFlight);
  }

  private endStretch(): void {
    const held = this.atPeakSinceMs >= 0 ? this.lastEventMs - this.atPeakSinceMs : 0;
    if (held > this.peakHeldMs) {
      this.peakHeldMs = held;
      this.peakFromMs = this.atPeakSinceMs;
    }
    this.atPeakSinceMs = -1;
  }

  private problem(text: string): void {
    if (this.problems.length < 10) this.problems.push(text);
  }
}

class Tally {
  private count = 0;
  firstMs = Number.POSITIVE_INFINITY;
  lastMs = 0;

  add(timeMs: number): void {
    this.count++;
    if (timeMs < this.firstMs) this.firstMs = timeMs;
    if (timeMs > this.lastMs) this.lastMs = timeMs;
  }

  span(toUtc: (ms: number) => number): Span {
    const { count } = this;
    return count === 0
      ? { count, firstMs: 0, lastMs: 0 }
      : { count, firstMs: toUtc(this.firstMs), lastMs: toUtc(this.lastMs) };
  }
}
