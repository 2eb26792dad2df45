/** The names of the servers' shared memory: shm_overview(7). */
import { existsSync, readdirSync, type Stats, statSync } from "node:fs";

const FOLDER = "/dev/shm";

/** Of servers that run or have gone; each name is one for shm_open(3). */
export function listSegments(): string[] {
  try {
    return readdirSync(FOLDER)
      .filter((name) => /^kilofork-\d+-[0-9a-f]+$/.test(name))
      .map((name) => `/${name}`);
  } catch {
    return []; // no such folder: creating a segment will say so
  }
}

/** The segment of the server whose front has that pid. */
export function segmentOf(front: number): string | undefined {
  return listSegments().find((segment) => segment.startsWith(`/kilofork-${front}-`));
}

/** Its server removes it at its end; that of a killed server stays until somebody sweeps it. */
export function isThere(segment: string): boolean {
  return existsSync(`${FOLDER}${segment}`);
}

/** Undefined when it is not there. */
export function statSegment(segment: string): Stats | undefined {
  return statSync(`${FOLDER}${segment}`, { throwIfNoEntry: false });
}
