/** Whose process is whose, where there is no environment to tell: a forker leaves none to its children. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** Whether a process holds the shared memory of one of these servers, named by their fronts. */
export function holdsSegmentOf(fronts: readonly number[], pid: number): boolean {
  if (!readFileSync(`/proc/${pid}/comm`, "latin1").startsWith("kilofork-")) return false;
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).some((fd) => {
    const path = readlinkSync(join(folder, fd));
    return fronts.some((front) => path.startsWith(`/dev/shm/kilofork-${front}-`));
  });
}
