/**
 * `kilofork ctl`: an order by name. It sends the front the signal that stands for it, waits on the
 * shared memory until all of it is done, and says what was done.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { failed, unjudgeable } from "./errors";
import { CAUSES, isDeath, type ScoreboardHeader } from "./native";
import { findServer, isThere, type Server, type Wanted, whereIs } from "./servers";
import { plural, showCount, showDuration } from "./units";

const LOOK_EVERY_MS = 5;

export const VERBS = ["stop", "reload", "reopen", "replace"] as const;
export type Verb = (typeof VERBS)[number];

const SIGNALS: Readonly<Record<Verb, NodeJS.Signals>> = {
  stop: "SIGTERM",
  reload: "SIGHUP",
  reopen: "SIGUSR1",
  replace: "SIGUSR2",
};

export interface CtlOptions extends Wanted {
  readonly verb: Verb;
  /** 0: without end. */
  readonly timeoutMs: number;
}

/** Resolves to a line that says what was done. */
export async function control({ verb, port, pid, timeoutMs }: CtlOptions): Promise<string> {
  const server = findServer({ port, pid });
  const begun = performance.now();
  const deadline = timeoutMs > 0 ? begun + timeoutMs : Number.POSITIVE_INFINITY;
  const until = async (done: () => boolean, missing: () => string) => {
    for (; !done(); await sleep(LOOK_EVERY_MS))
      if (performance.now() > deadline)
        throw failed(`not done within ${showDuration(timeoutMs)}: ${missing()}`);
  };
  send(server, SIGNALS[verb]);
  const what = verb === "stop" ? await stopped(server, until) : await answered(verb, server, until);
  return `${whereIs(server.header)}: ${what}, ${showDuration(performance.now() - begun)} after the order`;
}

type Until = (done: () => boolean, missing: () => string) => Promise<void>;

function send({ header, owner }: Server, signal: NodeJS.Signals): void {
  try {
    process.kill(header.front, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EPERM")
      throw failed(`the server belongs to ${owner}: only its owner and root may give it orders`);
    throw unjudgeable(`the front (pid ${header.front}) has just ended`);
  }
}

async function stopped({ segment, scoreboard }: Server, until: Until): Promise<string> {
  const before = cutRequests(scoreboard.header());
  await until(
    () => !isThere(segment),
    () => `${plural(childrenOf({ scoreboard }), "child is", "children are")} left`,
  );
  const cut = cutRequests(scoreboard.header()) - before; // our own mapping of it is still there
  const total = showCount(scoreboard.total());
  if (cut > 0) throw failed(`stopped, but ${plural(cut, "request was", "requests were")} cut`);
  return `stopped after ${total} requests`;
}

async function answered(verb: Verb, server: Server, until: Until): Promise<string> {
  const { scoreboard, header } = server;
  const now = () => {
    if (!isThere(server.segment)) throw failed("the server has ended meanwhile");
    return scoreboard.header();
  };
  await until(
    () => now().answers !== header.answers,
    () => `the front (pid ${header.front}) does not answer`,
  );
  const { answer } = now();
  if (!answer.ok) throw failed(answer.text);
  if (verb === "reopen" || verb === "reload")
    await until(
      () => now().logSettled === now().logGeneration,
      () => `${plural(countOthers(server, "logGeneration"), "child")} still on the old log`,
    );
  if (verb !== "replace") return answer.text;
  await until(
    () => now().generation !== header.generation && countOthers(server, "generation") === 0,
    () => `${plural(countOthers(server, "generation"), "child has", "children have")} a client yet`,
  );
  return `${plural(childrenOf(server), "child", "children")} replaced`;
}

/** Children that are not yet of the newest generation, or just about to be. */
function countOthers({ scoreboard }: Server, of: "generation" | "logGeneration"): number {
  const newest = scoreboard.header()[of];
  return scoreboard
    .snapshot()
    .filter((slot) => slot.state !== "vacant" && (slot[of] !== newest || slot.state === "starting"))
    .length;
}

function childrenOf({ scoreboard }: Pick<Server, "scoreboard">): number {
  return scoreboard.snapshot().filter(({ state }) => state !== "vacant").length;
}

/** While a server stops, each death is that of a child with a request. */
function cutRequests({ ended }: ScoreboardHeader): number {
  return CAUSES.filter(isDeath).reduce((sum, cause) => sum + ended[cause], 0);
}
