/**
 * One run of a server, folded from its records: the ledger of all requests, and the concurrency of
 * the selected ones. The order of the file is the order of events.
 */
import { type Damage, type DamageKind, DamageTally, isHarmless, type Place } from "../log/damage";
import { Kind, MARKER_LINE_BYTES, type Record } from "../log/record";
import { type Concurrency, SelectedRequests } from "./concurrency";
import { LogClock, type UtcOffset } from "./log-clock";

/** All requests of the run. */
export interface Ledger {
  readonly received: number;
  readonly completed: number;
  readonly unfinished: number;
  /** In the last `total requests` record, or of a running server in its shared memory. */
  readonly counted: number;
  /** Null: the log has no total yet, and `counted` is 0. */
  readonly countedFrom: "log" | "shared memory" | null;
  /** Children that ended abnormally. */
  readonly died: number;
  /** Retracted: completed, but never acknowledged, since their sync failed. */
  readonly takenBack: number;
  /** Children that ended by order. */
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
  /** pid of the front; 0 if the log begins in the middle of the run. */
  readonly server: number;
  /** Whether the log has the beginning of the run. Otherwise the ledger cannot be checked. */
  readonly begun: boolean;
  /** Address and port: `127.0.0.1:31337`. */
  readonly where: string;
  /** The log's times are this much ahead of UTC, at the start of the run. */
  readonly utcOffsetMinutes: number;
  /** That offset, and each that followed it; none if the log begins in the middle of the run. */
  readonly utcOffsets: readonly UtcOffset[];
  /** Since 1970. */
  readonly startedMs: number;
  /** Whether the log has the end of the run. Otherwise the server still runs, or was killed. */
  readonly ended: boolean;
  readonly ledger: Ledger;
  readonly problems: readonly string[];
}

/** The open request and the counts of one process. */
interface Process {
  /** -1: no request is open. */
  openSinceMs: number;
  /** The number of the record that opened it. */
  openedBy: number;
  /** The open request is one of those that were asked for. */
  selected: boolean;
  /** It counts as in flight: it is selected, and not {@link Run.uncertain}. */
  isInFlight: boolean;
  /** Requests completed since its birth, less those retracted; -1: its birth is not in the log. */
  completed: number;
}

const MOST_EXAMPLES = 3;

export class Run {
  private server = 0;
  private where = "";
  private readonly clock = new LogClock();
  private startedMs = 0;
  private ended = false;
  private lastRecordMs = 0;
  private readonly pids = new Set<number>(); // of all its children
  private readonly processes = new Map<number, Process>();
  private readonly selected: SelectedRequests;
  private readonly problems: string[] = [];

  private received = 0;
  private completed = 0;
  private unfinished = 0;
  private counted: number | undefined;
  private died = 0;
  private retracted = 0;
  private left = 0;
  private readonly refused: { [code: string]: number } = Object.create(null); // a code may be a name of Object.prototype
  private readonly damage = new DamageTally();
  private bareMarkers = 0;
  private countErrors = 0;
  private number = 0; // of the last record

  /**
   * Numbers of the received records whose requests ended at an unknown time, since the log could not
   * be written. A second pass over the records does not count these requests as in flight.
   */
  readonly uncertain = new Set<number>();

  /**
   * `fromStart`: the run's `Server init` is in the log. `known`: {@link uncertain} of an earlier pass
   * over the same run. `onChange` is called for every change of the number in flight.
   */
  constructor(
    private readonly fromStart: boolean,
    private readonly known: ReadonlySet<number>,
    onChange?: (timeMs: number, inFlight: number) => void,
  ) {
    this.selected = new SelectedRequests(onChange);
  }

  /** A record's time in UTC; undefined if the log does not say the offset. */
  utcOf(localMs: number): number | undefined {
    return this.clock.isKnown ? this.clock.utcOf(localMs) : undefined;
  }

  /** Whether one of these processes is a child of the run. */
  hasAnyOf(pids: readonly number[]): boolean {
    return pids.some((pid) => this.pids.has(pid));
  }

  /** `selected`: whether the record's message is one of those that were asked for. */
  add(record: Record, selected: boolean): void {
    const { pid } = record;
    if (record.kind === Kind.front || record.kind === Kind.utcOffset)
      this.changeOffset(record.timeMs, record.utcOffsetMinutes);
    const timeMs = this.clock.utcOf(record.timeMs);
    if (this.startedMs === 0) this.startedMs = timeMs;
    this.lastRecordMs = timeMs;
    this.number++;
    switch (record.kind) {
      case Kind.front:
        this.server = pid;
        this.where = record.text;
        return;
      case Kind.birth:
        this.processOf(pid); // which may exist: its supervisor writes this record, maybe late
        return;
      case Kind.received:
        this.receive(pid, timeMs, selected);
        return;
      case Kind.completed:
        this.complete(pid, timeMs, record.count, selected);
        return;
      case Kind.retracted:
        this.retract(pid, record.count);
        return;
      case Kind.total:
        this.counted = record.count;
        // A request is recorded before it is counted: the inequality holds at every line.
        if (this.fromStart && record.count > this.completed - this.retracted)
          this.problem(
            `counted ${record.count} requests when only ${this.completed - this.retracted} completed records were there`,
          );
        return;
      case Kind.unauthorized:
        this.refuse("unauthorized");
        return;
      case Kind.refused:
        this.refuse(record.text);
        return;
      case Kind.ended:
        this.endProcess(pid, timeMs, record.abnormal);
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
    const open = [...this.processes.values()].filter(({ openSinceMs }) => openSinceMs >= 0).length;
    const ledger: Ledger = {
      received: this.received,
      completed: this.completed,
      unfinished: this.unfinished + open,
      counted: this.counted ?? 0,
      countedFrom: this.counted === undefined ? null : "log",
      died: this.died,
      takenBack: this.retracted,
      left: this.left,
      refused: this.refused,
      tornHeads: this.damage.count("tornHead", "tornTail"),
      shortWrites: this.damage.count("shortWrite") - this.bareMarkers,
      foreignLines: this.foreignLines,
      damage: this.damage.report(),
    };
    return {
      server: this.server,
      begun: this.fromStart,
      where: this.where,
      utcOffsetMinutes: this.clock.offsets[0]?.minutes ?? 0,
      utcOffsets: this.clock.offsets,
      startedMs: this.startedMs,
      ended: this.ended,
      ...this.selected.report(this.lastRecordMs),
      ledger,
      problems: [...this.problems, ...this.ledgerProblems(ledger)],
    };
  }

  /**
   * replies <= counted <= completed <= counted + died + retracted. The audit checks the first, with
   * the client's result.
   */
  private ledgerProblems(ledger: Ledger): string[] {
    const { counted, completed, died, takenBack: retracted, foreignLines } = ledger;
    // A marker on a line of its own closes a torn head that another record followed.
    const tornHeads = this.damage.count("tornHead") - this.bareMarkers;
    const problems: string[] = [];
    if (this.countErrors > 0)
      problems.push(`${this.countErrors} completed records do not continue their child's count`);
    if (!this.fromStart) return problems;
    if (this.ended && completed > counted + died + retracted)
      problems.push(
        `${completed} requests completed, but only ${counted} counted, ${retracted} not acknowledged and ${died} children died`,
      );
    if (this.ended && tornHeads > died)
      problems.push(`${tornHeads} records are torn, but only ${died} children died`);
    if (foreignLines > MOST_EXAMPLES) problems.push(`${foreignLines} lines are no records`);
    return problems;
  }

  /** Of a run whose start is not in the log, the first offset is not known, nor are all others. */
  private changeOffset(localMs: number, minutes: number): void {
    const isFirst = !this.clock.isKnown;
    if (isFirst && !this.fromStart) return;
    this.clock.add(localMs, minutes);
    if (isFirst) this.startedMs = this.clock.utcOf(this.startedMs);
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
    if (selected) this.selected.received(timeMs);
    if (process.isInFlight) this.selected.change(timeMs, 1);
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
      this.selected.change(timeMs, -1);
    }
    if (process.openSinceMs >= 0 ? process.selected : selected) this.selected.completed(timeMs);
    process.openSinceMs = -1;
  }

  /** Counts nothing if the disk has lost the record of the completion. */
  private retract(pid: number, count: number): void {
    const process = this.processOf(pid);
    if (process.completed !== count) return;
    this.retracted++;
    process.completed--;
  }

  private endProcess(pid: number, timeMs: number, abnormal: boolean): void {
    if (abnormal) this.died++;
    else this.left++;
    const process = this.processes.get(pid);
    if (process && process.openSinceMs >= 0) this.abandon(process, timeMs, !abnormal);
    this.processes.delete(pid);
  }

  /** Ends a request without its completion. `wentOn`: it had ended before, at an unknown time. */
  private abandon(process: Process, timeMs: number, wentOn: boolean): void {
    this.unfinished++;
    process.openSinceMs = -1;
    if (wentOn) this.uncertain.add(process.openedBy);
    if (process.isInFlight) this.selected.change(timeMs, -1);
  }

  private refuse(code: string): void {
    this.refused[code] = (this.refused[code] ?? 0) + 1;
  }

  private processOf(pid: number): Process {
    let process = this.processes.get(pid);
    if (!process) {
      this.pids.add(pid);
      process = {
        ...{ openSinceMs: -1, openedBy: 0, selected: false, isInFlight: false },
        completed: this.fromStart ? 0 : -1,
      };
      this.processes.set(pid, process);
    }
    return process;
  }

  private problem(text: string): void {
    if (this.problems.length < 10) this.problems.push(text);
  }
}
