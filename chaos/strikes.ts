/** What is done to the server, dealt as cards: each kind comes up in every deck. */
import { setTimeout as sleep } from "node:timers/promises";
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
}

const MOST_HIT = 8;
const LONGEST_PAUSE_MS = 300;
const SHORTEST_STOP_MS = 50;
const LONGEST_STOP_MS = 2000;

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
  { name: "syncer, SIGKILL", cards: 2, hit: (to, { syncer }) => to.send("SIGKILL", [syncer]) },
  {
    name: "syncer, SIGSTOP and SIGCONT",
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
  { name: "disk full and emptied", cards: 3, hit: (to) => to.fillDisk() },
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
    return this.harness.hasDisk ? STRIKES : STRIKES.filter(({ name }) => !name.startsWith("disk"));
  }

  /** Strikes until the time is over, a strike was fatal, or the server ended by itself. */
  async strike(server: Server, isOver: () => boolean): Promise<"over" | "killed" | "ended"> {
    for (;;) {
      await sleep(this.random.between(0, LONGEST_PAUSE_MS));
      if (server.frontHasEnded) return "ended";
      if (isOver()) return "over";
      const { name, hit, isFatal } = this.draw();
      const count = hit(this, server);
      const tally = this.done.get(name);
      if (tally && count > 0) {
        tally.times++;
        tally.hit += count;
      }
      if (isFatal) return "killed";
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

  send(signal: NodeJS.Signals, pids: readonly number[]): number {
    const hit = pids.filter((pid) => this.harness.signal(pid, signal));
    if (signal === "SIGSTOP")
      this.later(() => {
        for (const pid of hit) this.harness.signal(pid, "SIGCONT");
      });
    return hit.length;
  }

  fillDisk(): number {
    this.harness.fill();
    this.later(() => this.harness.empty());
    return 1;
  }

  private later(undo: () => void): void {
    const timer = setTimeout(
      () => {
        this.pending.delete(timer);
        undo();
      },
      this.aim.between(SHORTEST_STOP_MS, LONGEST_STOP_MS),
    );
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
