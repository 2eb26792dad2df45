/** The messages of `kilofork serve` on standard error, one for each event of the server. */
import { nameOfErrno } from "../base/errors";
import { plural, showCount, showDuration } from "../base/units";
import { DEFAULT_BACKLOG } from "../machine/capacity";
import type { ServerEvent, ServerEvents, StopCause } from "./events";
import { describeForkFailure } from "./machine-limits";

type Phrase<Event extends ServerEvent> = (data: ServerEvents[Event]) => string | null;

/** Signals have their names. */
const CAUSES: Partial<Record<StopCause, string>> = {
  program: "its program",
  "hang-up": "the hang-up of its terminal",
  "end-of-input": "the end of standard input",
  supervisor: "a signal to its supervisor",
  "log-reader": "the end of the log's reader",
};

/** Null: no message. */
export const PHRASES: { readonly [Event in ServerEvent]: Phrase<Event> | null } = {
  listening: null,
  ready: null, // the banner
  stopping: null,
  closing: null,

  stopped: ({ by, requests, aborted }) =>
    `stopped by ${CAUSES[by] ?? by}: ${plural(requests, "request")} served, ${showCount(aborted)} aborted`,
  waiting: ({ front, withinMs }) =>
    `the last server here (pid ${front}) is ending; waiting for it, for at most ${showDuration(withinMs)}`,
  "unserved-addresses": ({ host, address, others }) =>
    `${host} is served at ${address} only, not at ${others.join(", ")}`,
  "backlog-short": ({ backlog }) =>
    `the accept queue holds ${showCount(backlog)} clients instead of ${showCount(DEFAULT_BACKLOG)}, the value of net.core.somaxconn: of more that come at once, some wait for a second or longer (sysctl net.core.somaxconn=${DEFAULT_BACKLOG})`,
  unfiltered: () =>
    "built without the filter of system calls (KILOFORK_UNFILTERED): a child that is taken over can open files, run programs and connect as its user",
  "ready-again": ({ children }) => `${plural(children, "child is", "children are")} up again`,
  "fork-failed": ({ errno, alive, uid }) =>
    `${describeForkFailure(errno, alive, uid)}; trying again`,
  "back-off": ({ ms }) => `a child died before it could accept; the next is forked in ${ms} ms`,
  "growth-limit": ({ limit, maxChildren }) => {
    if (limit === "memory") return "too little memory is left: no more children for now";
    return limit === "maximum"
      ? `all ${showCount(maxChildren)} children are busy, and clients wait`
      : null;
  },
  "supervisor-ended": ({ how, orphans, stopping }) =>
    stopping
      ? null
      : `the supervisor is gone (${how}), and ${plural(orphans, "child", "children")} with it; starting another`,
  replaced: () => "all children have been replaced",
  answer: ({ text }) => text,

  "accept-failing": ({ errno }) => `cannot accept clients: ${nameOfErrno(errno)}; trying again`,
  "accept-recovered": () => "clients can be accepted again",

  "segment-removed": ({ segment }) =>
    `the shared memory /dev/shm${segment} was removed: the server goes on without that name; see RemoveIPC= of logind.conf(5)`,
  "log-failing": ({ log, errno }) => {
    const name = nameOfErrno(errno);
    if (name === "EPIPE") return `the reader of the log has gone; clients get "error unavailable"`;
    if (name === "ETIMEDOUT")
      return `the reader of the log takes nothing; clients get "error unavailable" until it does`;
    return `cannot write to the log ${log}: ${name}; clients get "error unavailable" until it can be written again`;
  },
  "log-recovered": () => "the log can be written again",
  "log-abandoned": ({ log, errno }) => {
    const name = nameOfErrno(errno);
    const why =
      name === "ECANCELED"
        ? "the syncer died in the middle of a sync"
        : `it cannot be synced: ${name}`;
    return `the log ${log} is given up, ${why}; whoever waited for that gets "error unavailable"`;
  },
  "log-continued": ({ log }) => `the log goes on in ${log}`,
  "log-missing": ({ reason }) => `${reason}; clients get "error unavailable" until there is a log`,
  "log-removed": ({ log }) => `the log ${log} was removed, and the records in it are gone`,
  "log-reopened": () => "log opened again",
  "log-unread": ({ bytes }) =>
    `the last ${plural(bytes, "byte")} of the log are lost: its reader did not take them`,
  "log-settled": ({ ms }) =>
    `log reopened; the last child left the old one after ${showDuration(ms)}`,
};
