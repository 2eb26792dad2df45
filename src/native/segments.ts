/** The names of the servers' shared memory: shm_overview(7). */
import { existsSync, readdirSync, type Stats, statSync } from "node:fs";

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

/** Finds the segment of the server whose front has that pid. */
export function segmentOf(front: number): string | undefined {
  return listSegments().find((segment) => segment.startsWith(`/kilofork-${front}-`));
}

/** Whether a segment exists. A server removes its own; that of a killed one stays until a sweep. */
export function isThere(segment: string): boolean {
  return existsSync(`${FOLDER}${segment}`);
}

/** Undefined if it does not exist. */
export function statSegment(segment: string): Stats | undefined {
  return statSync(`${FOLDER}${segment}`, { throwIfNoEntry: false });
}
