/** The names of the servers' shared memory: shm_overview(7). */
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats, statSync } from "node:fs";

const FOLDER = "/dev/shm";

/** Lists the segments of all servers, also of killed ones; the names are for shm_open(3). */
export function listSegments(): string[] {
  try {
    return readdirSync(FOLDER)
      .filter((name) => /^kilofork-\d+-[0-9a-f]+$/.test(name))
      .map((name) => `/${name}`);
  } catch {
    return []; // no such folder: creating a segment will report that
  }
}

/**
 * Lists segments whose names were removed while their servers run: the descriptors of their fronts, as
 * paths of proc_pid_fd(5), which stand for the names. The front is found by its supervisor, its child.
 */
export function listUnnamedSegments(): string[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
        const [, front] = /\(kilofork-superv\) \w (\d+)/.exec(stat) ?? [];
        return front === undefined ? [] : unnamedOf(Number(front));
      } catch {
        return []; // it has just ended, or is another user's
      }
    });
}

function unnamedOf(front: number): string[] {
  const folder = `/proc/${front}/fd`;
  const isUnnamed = (path: string) =>
    readlinkSync(path).startsWith(`${FOLDER}/kilofork-${front}-`) &&
    readlinkSync(path).endsWith(" (deleted)");
  return readdirSync(folder)
    .map((fd) => `${folder}/${fd}`)
    .filter(isUnnamed)
    .slice(0, 1);
}

const pathOf = (segment: string) =>
  segment.startsWith("/proc/") ? segment : `${FOLDER}${segment}`;

/** Finds the segment of the server whose front has that pid. */
export function segmentOf(front: number): string | undefined {
  return listSegments().find((segment) => segment.startsWith(`/kilofork-${front}-`));
}

/** Whether a segment exists. A server removes its own; that of a killed one stays until a sweep. */
export function isThere(segment: string): boolean {
  return statSegment(segment) !== undefined;
}

/** Undefined if it does not exist. Follows no link: whoever made it may have named any file. */
export function statSegment(segment: string): Stats | undefined {
  const path = pathOf(segment);
  const stat = path.startsWith("/proc/") ? statSync : lstatSync;
  return stat(path, { throwIfNoEntry: false });
}
