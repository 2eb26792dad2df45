/** What is done to the server, dealt as cards: each kind comes up in every deck. */
import { setTimeout as sleep } from "node:timers/promises";
import { parentOf } from "../test/support/processes";
import type { Random } from "../test/support/random";
import type { Harness } from "./harness";
import { MOST_CHILDREN, type Server } from "./server";

interface Strike {
  readonly name: string;
  /** How often it is in a deck. */
  readonly cards: number;
  /** Returns how many processes or disks it hit. */
  readonly hit: (to: Strikes, server: Server) => number;
  /** It ends the server. */
  readonly isFatal?: true;
  /** The next one comes after this time, if it hit. */
  readonly lastsMs?: number;
}

const MOST_HIT = 8;
const LONGEST_PAUSE_MS = 300;
const SHORTEST_STOP_MS = 50;
const LONGEST_STOP_MS = 2000;
/** A reader of the log that takes nothing for 5 s stalls. */
const STALLS_MS = 7000;

/** Between two processes that are killed one after the other. */
const LONGEST_APART_MS = 100;
/** SIGSTOP takes effect when the process runs the next time. */
const STOPPED_WITHIN_MS = 50;

const pause = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

const STRIKES: readonly Strike[] = [
  { name: "child, SIGKILL", cards: 10, hit: (to, server) => to.some(server, "SIGKILL") },
  {
    name: "all children, SIGKILL",
    cards: 1,
    hit: (to, server) => to.some(server, "SIGKILL", MOST_CHILDREN),
  },
  { name: "child, SIGTERM", cards: 3, hit: (to, server) => to.some(server, "SIGTERM") },
  { name: "child, SIGSTOP and SIGCONT", cards: 5, hit: (to, server) => to.some(server, "SIGSTOP") },
  {
    name: "child with requests, SIGKILL",
    cards: 4,
    hit: (to, server) => to.oneOf(server.busyChildren(), "SIGKILL"),
  },
  {
    name: "child with requests, SIGSTOP and SIGCONT",
    cards: 2,
    hit: (to, server) => to.oneOf(server.busyChildren(), "SIGSTOP"),
  },
  { name: "keeper, SIGKILL", cards: 3, hit: (to, { keeper }) => to.send("SIGKILL", [keeper]) },
  {
    name: "keeper, SIGSTOP and SIGCONT",
    cards: 3,
    hit: (to, { keeper }) => to.send("SIGSTOP", [keeper]),
  },
  {
    name: "supervisor, SIGKILL",
    cards: 3,
    hit: (to, { supervisor }) => to.send("SIGKILL", [supervisor]),
  },
  {
    name: "supervisor, SIGSTOP and SIGCONT",
    cards: 3,
    hit: (to, { supervisor }) => to.send("SIGSTOP", [supervisor]),
  },
  {
    name: "forker, SIGKILL",
    cards: 2,
    hit: (to, { forker }) => to.send("SIGKILL", [forker]),
  },
  {
    name: "forker, SIGSTOP and SIGCONT",
    cards: 1,
    hit: (to, { forker }) => to.send("SIGSTOP", [forker]),
  },
  {
    name: "syncer or writer, SIGKILL",
    cards: 2,
    hit: (to, { syncer }) => to.send("SIGKILL", [syncer]),
  },
  {
    name: "syncer or writer, SIGSTOP and SIGCONT",
    cards: 2,
    hit: (to, { syncer }) => to.send("SIGSTOP", [syncer]),
  },
  {
    name: "front, SIGSTOP and SIGCONT",
    cards: 3,
    hit: (to, { front }) => to.send("SIGSTOP", [front]),
  },
  { name: "replace, SIGUSR2", cards: 3, hit: (to, { front }) => to.send("SIGUSR2", [front]) },
  { name: "reload, SIGHUP", cards: 3, hit: (to, { front }) => to.send("SIGHUP", [front]) },
  {
    name: "log renamed, SIGUSR1",
    cards: 4,
    hit: (to, { front }) => (to.harness.renameLog() ? to.send("SIGUSR1", [front]) : 0),
  },
  { name: "pids.max reached and raised", cards: 2, hit: (to) => to.limitProcesses() },
  {
    name: "pids.max reached, supervisor SIGKILL",
    cards: 1,
    hit: (to, { supervisor }) => to.limitProcesses() && to.send("SIGKILL", [supervisor]),
  },
  { name: "disk full and emptied", cards: 3, hit: (to) => to.fillDisk() },
  { name: "reader of the log pauses", cards: 3, hit: (to) => to.stallReader() },
  { name: "reader of the log killed, another comes", cards: 2, hit: (to) => to.replaceReader() },
  {
    name: "reader of the log stalls",
    cards: 1,
    hit: (to) => to.stallReader(STALLS_MS),
    lastsMs: STALLS_MS,
  },
  {
    name: "front, SIGTERM",
    cards: 1,
    hit: (to, { front }) => to.send("SIGTERM", [front]),
    isFatal: true,
  },
  {
    name: "reader of the log pauses, front SIGTERM",
    cards: 1,
    hit: (to, { front }) => to.stallReader() && to.send("SIGTERM", [front]),
    isFatal: true,
  },
  {
    name: "front, SIGKILL",
    cards: 1,
    hit: (to, { front }) => to.send("SIGKILL", [front]),
    isFatal: true,
  },
  {
    name: "front and supervisor, SIGKILL",
    cards: 1,
    hit: (to, { front, supervisor }) => to.send("SIGKILL", [front, supervisor]),
    isFatal: true,
  },
  {
    name: "front and supervisor, SIGKILL apart",
    cards: 2,
    hit: (to, { front, supervisor }) => to.killApart([front, supervisor]),
    isFatal: true,
  },
  {
    name: "others stopped, front and supervisor SIGKILL",
    cards: 2,
    hit: (to, server) => to.stopAndKill(server),
    isFatal: true,
  },
  {
    name: "all processes, SIGKILL",
    cards: 1,
    hit: (to) => to.send("SIGKILL", to.harness.processes()),
    isFatal: true,
  },
];

export interface Tally {
  times: number;
  /** Processes that were hit, or the disk. */
  hit: number;
}

export class Strikes {
  readonly done = new Map<string, Tally>();
  /** The name of the last strike. */
  last = "";
  private readonly deck: Strike[] = [];
  /** How to undo what is stopped or full now. */
  private readonly pending = new Map<NodeJS.Timeout, () => void>();

  constructor(
    readonly harness: Harness,
    /** Chooses strikes and pauses: the same for a seed, whatever the server does. */
    private readonly random: Random,
    /** Chooses whom a strike hits, and for how long. */
    private readonly aim: Random,
  ) {
    for (const { name } of this.kinds()) this.done.set(name, { times: 0, hit: 0 });
  }

  private kinds(): readonly Strike[] {
    const { hasDisk, limitsProcesses } = this.harness;
    return STRIKES.filter(
      ({ name }) =>
        (hasDisk || !name.startsWith("disk")) && (limitsProcesses || !name.startsWith("pids.max")),
    );
  }

  /** Strikes until the time is over, a strike was fatal, or the server ended by itself. */
  async strike(server: Server, isOver: () => boolean): Promise<"over" | "killed" | "ended"> {
    for (;;) {
      await sleep(this.random.between(0, LONGEST_PAUSE_MS));
      if (server.frontHasEnded) return "ended";
      if (isOver()) return "over";
      const { name, hit, isFatal, lastsMs = 0 } = this.draw();
      const count = hit(this, server);
      if (count > 0) this.last = name;
      const tally = this.done.get(name);
      if (tally && count > 0) {
        tally.times++;
        tally.hit += count;
      }
      if (isFatal && count > 0) return "killed";
      if (count > 0) await sleep(lastsMs);
    }
  }

  private draw(): Strike {
    if (this.deck.length === 0)
      this.deck.push(
        ...this.random.shuffled(
          this.kinds().flatMap((kind) => Array.from({ length: kind.cards }, () => kind)),
        ),
      );
    return this.deck.pop() as Strike;
  }

  some(server: Server, signal: NodeJS.Signals, most = this.aim.between(1, MOST_HIT)): number {
    return this.send(signal, this.aim.shuffled(server.children()).slice(0, most));
  }

  oneOf(pids: readonly number[], signal: NodeJS.Signals): number {
    return pids.length === 0 ? 0 : this.send(signal, [this.aim.oneOf(pids)]);
  }

  send(signal: NodeJS.Signals, pids: readonly number[]): number {
    const hit = pids.filter((pid) => this.harness.signal(pid, signal));
    if (signal === "SIGSTOP")
      this.later(() => {
        for (const pid of hit) this.harness.signal(pid, "SIGCONT");
      });
    return hit.length;
  }

  /** In a random order, up to LONGEST_APART_MS apart. Waits in between without a turn of the loop. */
  killApart(pids: readonly number[]): number {
    const [first = 0, second = 0] = this.aim.shuffled([...pids]);
    const hit = this.send("SIGKILL", [first]);
    pause(this.aim.between(0, LONGEST_APART_MS));
    return hit + this.send("SIGKILL", [second]);
  }

  /** Nobody continues those that it stops. Spares an orphan that guards the segment meanwhile. */
  stopAndKill(server: Server): number {
    const { front, supervisor, forker, syncer, keeper } = server;
    const others = this.aim
      .shuffled([forker, syncer, keeper, ...server.children()])
      .filter((pid) => parentOf(pid) === supervisor);
    const stopped = others.slice(0, this.aim.between(1, others.length));
    for (const pid of stopped) this.harness.signal(pid, "SIGSTOP");
    pause(STOPPED_WITHIN_MS);
    return stopped.length + this.killApart([front, supervisor]);
  }

  limitProcesses(): number {
    this.harness.limitProcesses();
    this.later(() => this.harness.unlimitProcesses());
    return 1;
  }

  /** Nobody else writes to the disk of a server whose log is a pipe. */
  fillDisk(): number {
    if (this.harness.pipe) return 0;
    this.harness.fill();
    this.later(() => this.harness.empty());
    return 1;
  }

  /** The reader takes nothing for a while. */
  stallReader(ms?: number): number {
    const { pipe } = this.harness;
    pipe?.stall();
    if (pipe) this.later(() => pipe.resume(), ms);
    return pipe ? 1 : 0;
  }

  /** There is no reader for a while. */
  replaceReader(): number {
    const { pipe } = this.harness;
    pipe?.leave();
    if (pipe) this.later(() => pipe.resume());
    return pipe ? 1 : 0;
  }

  private later(undo: () => void, ms = this.aim.between(SHORTEST_STOP_MS, LONGEST_STOP_MS)): void {
    const timer = setTimeout(() => {
      this.pending.delete(timer);
      undo();
    }, ms);
    this.pending.set(timer, undo);
  }

  /** Continues what is stopped, and empties the disk. */
  undoAll(): void {
    for (const [timer, undo] of this.pending) {
      clearTimeout(timer);
      undo();
    }
    this.pending.clear();
  }
}
