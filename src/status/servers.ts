/** The servers of this machine, found by their shared memory. Nothing is asked of the servers. */
import { existsSync, fstatSync, readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { isSystemError, KiloforkError } from "../base/errors";
import { Scoreboard, type ScoreboardHeader } from "../native/scoreboard";

const FOLDER = "/dev/shm";

/** Which of them; nothing, when there is but one. */
export interface Wanted {
  readonly port: number | undefined;
  readonly pid: number | undefined;
}

export interface Server {
  /** Of the segment, for shm_open(3). */
  readonly segment: string;
  readonly scoreboard: Scoreboard;
  /** As it was when the server was found. */
  readonly header: ScoreboardHeader;
  /** The user that it runs as. */
  readonly owner: string;
}

/** Segments of shared memory, of servers that run or have gone, by name for shm_open(3). */
export function listSegments(): string[] {
  try {
    return readdirSync(FOLDER)
      .filter((name) => /^kilofork-\d+-[0-9a-f]+$/.test(name))
      .map((name) => `/${name}`);
  } catch {
    return []; // no such folder: creating a segment will say so
  }
}

/** Until its server has closed the books, or whoever found it dead has removed it. */
export function isThere(segment: string): boolean {
  return existsSync(`${FOLDER}${segment}`);
}

/** The segment of a server that was killed with all its processes stays, and nobody holds it. */
export function lives({ segment }: Server): boolean {
  return isThere(segment) && Scoreboard.lives(segment);
}

/** Whether a process has that file open. Null: not for us to see. */
export function hasOpen(pid: number, file: Stats | undefined): boolean | null {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).some((fd) => {
      const open = statSync(`${folder}/${fd}`, { throwIfNoEntry: false });
      return file && open && open.dev === file.dev && open.ino === file.ino;
    });
  } catch {
    return null;
  }
}

/** Whether the process is what the header, which anyone may have written, says. Null: as above. */
export function isFront({ scoreboard, header }: Server): boolean | null {
  return hasOpen(header.front, fstatSync(scoreboard.fd)); // its name may be another file's by now
}

/** The server whose front is that process. */
export function openScoreboardOf(front: number): Scoreboard {
  const name = listSegments().find((segment) => segment.startsWith(`/kilofork-${front}-`));
  if (name === undefined) throw new Error(`process ${front} has no segment`);
  return new Scoreboard(name);
}

/** The one server that runs, or the one of them with that port, or with that pid. */
export function findServer({ port, pid }: Wanted): Server {
  const refused: string[] = [];
  const servers = listSegments().flatMap((segment) => {
    const found = look(segment);
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
  throw new KiloforkError("ERR_NO_SERVER", [`no server${which} is running`, ...refused].join("; "));
}

/** A server that lives; in words, why one cannot be looked at; or nothing. */
function look(segment: string): Server | string | undefined {
  const front = Number(/^\/kilofork-(\d+)-/.exec(segment)?.[1]);
  const owner = ownerOf(segment);
  let scoreboard: Scoreboard;
  try {
    scoreboard = new Scoreboard(segment);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === "EACCES")
      return `the server with pid ${front} belongs to ${owner}: only its owner and root may look at it`;
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
  // Its pids are other processes here.
  return isHeld
    ? `the server on ${whereIs(header)} is in another container: look from there`
    : undefined;
}

function ownerOf(segment: string): string | undefined {
  const status = statSync(`${FOLDER}${segment}`, { throwIfNoEntry: false });
  return status && (userName(status.uid) ?? `uid ${status.uid}`);
}

function userName(uid: number): string | undefined {
  try {
    const users = readFileSync("/etc/passwd", "utf8").split("\n");
    return users.map((entry) => entry.split(":")).find(([, , id]) => id === String(uid))?.[0];
  } catch {
    return undefined; // an image of nothing but the program has no such file
  }
}

/** `127.0.0.1:31337`, `[::1]:31337`. */
export function whereIs({ address, port }: { address: string; port: number }): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}
