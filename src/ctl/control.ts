/**
 * Gives an order to a running server: sends the signal of that order to the front, and samples the
 * shared memory until the order is done.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { whereIs } from "../base/address";
import { ORDERS, type Order } from "../base/enumerations";
import { KiloforkError } from "../base/errors";
import { plural, showCount, showDuration } from "../base/units";
import { isThere } from "../native/segments";
import { findServer, isFront, lives, type Server, type Wanted } from "../status/servers";

const SAMPLE_EVERY_MS = 5;

export const VERBS = ["stop", ...ORDERS] as const;
export type Verb = (typeof VERBS)[number];

const SIGNALS: Readonly<Record<Verb, NodeJS.Signals>> = {
  stop: "SIGTERM",
  reload: "SIGHUP",
  reopen: "SIGUSR1",
  replace: "SIGUSR2",
};

export interface CtlOptions extends Wanted {
  readonly verb: Verb;
  /** 0: no limit. */
  readonly timeoutMs: number;
}

/**
 * Resolves to a line that says what was done. Throws ERR_ORDER or ERR_STOP if it was not done,
 * ERR_NO_SERVER or ERR_ARGUMENT if there is not exactly one such server.
 */
export async function control({ verb, port, pid, timeoutMs }: CtlOptions): Promise<string> {
  const server = findServer({ port, pid });
  const begun = performance.now();
  const deadline = timeoutMs > 0 ? begun + timeoutMs : Number.POSITIVE_INFINITY;
  const until = async (done: () => boolean, missing: () => string) => {
    for (; !done(); await sleep(SAMPLE_EVERY_MS))
      if (performance.now() > deadline)
        throw new KiloforkError(
          "ERR_ORDER",
          `not done within ${showDuration(timeoutMs)}: ${missing()}`,
        );
  };
  // Send no second SIGTERM to a server that stops: it would abort the requests in work.
  if (verb !== "stop" || !server.header.stopping) send(server, SIGNALS[verb]);
  const what = verb === "stop" ? await stopped(server, until) : await answered(verb, server, until);
  return `${whereIs(server.header)}: ${what}, ${showDuration(performance.now() - begun)} after the order`;
}

type Until = (done: () => boolean, missing: () => string) => Promise<void>;

/** Sends the signal, but only to the front: signal 0 merely checks the permission. */
function send(server: Server, signal: NodeJS.Signals): void {
  const { front } = server.header;
  const known = isFront(server);
  try {
    process.kill(front, known ? signal : 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EPERM")
      throw new KiloforkError(
        "ERR_ORDER",
        `process ${front} is another user's: only that user and root may give it orders`,
      );
    throw new KiloforkError("ERR_NO_SERVER", `the front (pid ${front}) has just ended`);
  }
  if (known === null)
    throw new KiloforkError(
      "ERR_UNREADABLE",
      `cannot tell whether process ${front} is the front: /proc/${front}/fd is not readable`,
    );
  if (!known)
    throw new KiloforkError(
      "ERR_NO_SERVER",
      `process ${front} is no front: it does not have the segment ${server.segment} open`,
    );
}

async function stopped(server: Server, until: Until): Promise<string> {
  const { segment, scoreboard } = server;
  await until(
    () => !lives(server),
    () => `${plural(childrenOf(server), "child is", "children are")} left`,
  );
  // A killed server leaves its segment, or, if a later server has swept that, occupied slots.
  if (isThere(segment) || childrenOf(server) > 0)
    throw new KiloforkError("ERR_STOP", "the server was killed: its books are not closed");
  const { aborted } = scoreboard.header(); // the mapping outlives the segment's name
  const total = showCount(scoreboard.total());
  if (aborted > 0)
    throw new KiloforkError(
      "ERR_STOP",
      `stopped, but ${plural(aborted, "request was", "requests were")} aborted`,
    );
  return `stopped after ${total} requests`;
}

async function answered(order: Order, server: Server, until: Until): Promise<string> {
  const { scoreboard, header } = server;
  const before = header.answers[order].count;
  const children = childrenOf(server);
  const now = () => {
    if (!lives(server)) throw new KiloforkError("ERR_ORDER", "the server has ended meanwhile");
    const current = scoreboard.header();
    const { count, ok, text } = current.answers[order];
    if (count !== before && !ok) throw new KiloforkError("ERR_ORDER", text);
    return current;
  };
  await until(
    () => now().answers[order].count !== before,
    () =>
      scoreboard.header().ready
        ? `the front (pid ${header.front}) does not answer`
        : "the server is starting, and carries the order out when it is up",
  );
  const { text } = now().answers[order];
  if (order !== "replace") {
    await until(
      () => now().logSettled === now().logOrdered,
      () =>
        `${plural(countOthers(server, "logEpoch"), "child is", "children are")} still on the old log`,
    );
    return text;
  }
  await until(
    () => now().childEpoch !== header.childEpoch && countOthers(server, "childEpoch") === 0,
    () =>
      `${plural(countOthers(server, "childEpoch"), "old child is", "old children are")} left; a child with a client stays until the client leaves`,
  );
  return `${text}: done, ${plural(children, "child", "children")} replaced`;
}

/** Counts the children that have not reached the newest epoch. */
function countOthers({ scoreboard }: Server, of: "childEpoch" | "logEpoch"): number {
  const header = scoreboard.header();
  const newest = of === "childEpoch" ? header.childEpoch : header.logOrdered;
  return scoreboard
    .snapshot()
    .filter((slot) => slot.state !== "vacant" && (slot[of] !== newest || slot.state === "starting"))
    .length;
}

function childrenOf({ scoreboard }: Server): number {
  return scoreboard.snapshot().filter(({ state }) => state !== "vacant").length;
}
