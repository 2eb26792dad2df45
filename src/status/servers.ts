/** Finds the running servers of this machine by their shared memory. The servers take no part. */
import { fstatSync } from "node:fs";
import { whereIs } from "../base/address";
import { isSystemError, KiloforkError } from "../base/errors";
import { hasOpen, readText } from "../machine/files";
import type { ScoreboardHeader } from "../native/header";
import { Scoreboard } from "../native/scoreboard";
import {
  isThere,
  listSegments,
  listUnnamedSegments,
  segmentOf,
  statSegment,
} from "../native/segments";

/** Selects one of several servers. */
export interface Wanted {
  readonly port: number | undefined;
  readonly pid: number | undefined;
}

export interface Server {
  /** The name of its shared memory, for shm_open(3). */
  readonly segment: string;
  readonly scoreboard: Scoreboard;
  /** As it was when the server was found. */
  readonly header: ScoreboardHeader;
  /** The user that it runs as. */
  readonly owner: string;
}

/** Whether a process of the server is alive: then one holds a lock on the segment. */
export function lives({ segment }: Server): boolean {
  return isThere(segment) && Scoreboard.lives(segment);
}

/**
 * Whether the process that the header names has the segment open, as the front has: the owner of the
 * segment can write any pid there. Null if its descriptors cannot be read.
 */
export function isFront({ scoreboard, header }: Server): boolean | null {
  // Ask for the descriptor's file: the name may lead to another file by now.
  return hasOpen(header.front, fstatSync(scoreboard.fd));
}

/** Opens the shared memory of the server whose front is that process. Throws if there is none. */
export function openScoreboardOf(front: number): Scoreboard {
  const name = segmentOf(front);
  if (name === undefined) throw new Error(`process ${front} has no segment`);
  return new Scoreboard(name);
}

/**
 * Finds the one server that runs, or the one with that port, or that pid. Throws ERR_NO_SERVER if
 * there is none, ERR_ARGUMENT if there are several.
 */
export function findServer({ port, pid }: Wanted): Server {
  const refused: string[] = [];
  const servers = [...listSegments(), ...listUnnamedSegments()].flatMap((segment) => {
    const found = examine(segment);
    if (typeof found === "string") refused.push(found);
    return found instanceof Object ? [found] : [];
  });
  const matching = servers.filter(
    ({ header }) =>
      (port === undefined || header.port === port) && (pid === undefined || header.front === pid),
  );
  const [server, ...others] = matching;
  if (server && others.length === 0) return server;
  for (const { scoreboard } of matching) scoreboard.close();
  if (server) {
    const list = matching
      .map(({ header }) => `${whereIs(header)} (pid ${header.front})`)
      .join(", ");
    const choice = port === undefined ? "give the port of one" : "give --pid of one";
    throw new KiloforkError("ERR_ARGUMENT", `${matching.length} servers run: ${list}; ${choice}`);
  }
  const which =
    pid !== undefined ? ` with pid ${pid}` : port !== undefined ? ` on port ${port}` : "";
  throw new KiloforkError("ERR_NO_SERVER", [`no server is running${which}`, ...refused].join("; "));
}

/** Returns the server, or a sentence why it cannot be read, or undefined if it does not run. */
function examine(segment: string): Server | string | undefined {
  const front = Number(/^\/(?:kilofork-|proc\/)(\d+)/.exec(segment)?.[1]);
  const owner = ownerOf(segment);
  let scoreboard: Scoreboard;
  try {
    scoreboard = new Scoreboard(segment);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === "EACCES")
      return `the server with pid ${front} belongs to ${owner}: only its owner and root may read it`;
    if (error.code === "EPROTO")
      return `the server with pid ${front} is of another version of kilofork`;
    return undefined; // it has just gone
  }
  const header = scoreboard.header();
  const isHeld = owner !== undefined && Scoreboard.lives(segment);
  if (header.front !== front) {
    scoreboard.close();
    return isHeld
      ? `the segment ${segment} of ${owner} is forged: it names another front`
      : undefined;
  }
  if (isHeld && header.pidNamespace === Scoreboard.pidNamespace())
    return { segment, scoreboard, header, owner };
  scoreboard.close();
  // In another PID namespace, its pids are other processes.
  return isHeld
    ? `the server on ${whereIs(header)} is in another container: run this command there`
    : undefined;
}

function ownerOf(segment: string): string | undefined {
  const status = statSegment(segment);
  return status && (userName(status.uid) ?? `uid ${status.uid}`);
}

/** Undefined if the file does not name it; a minimal container has no such file. */
function userName(uid: number): string | undefined {
  const users = readText("/etc/passwd").split("\n");
  return users.map((entry) => entry.split(":")).find(([, , id]) => id === String(uid))?.[0];
}
