/** Orphans: children whose supervisor has died. They end by themselves, unless they are stopped. */
import { nameOfProcess } from "../machine/process";
import type { Scoreboard } from "../native/scoreboard";
import type { LogFiles } from "./log-files";

/** Children that are stopped, or stuck in the kernel, do not end by themselves. */
const LEAVE_WITHIN_MS = 3000;

/** Kills those that are left after LEAVE_WITHIN_MS; returns the function that cancels that. */
export function killOrphansLater(scoreboard: Scoreboard): () => void {
  const timer = setTimeout(() => {
    for (const { pid } of scoreboard.snapshot()) killOrphan(pid);
    const { sync, forker } = scoreboard.header();
    killOrphan(sync.syncer);
    killOrphan(forker);
  }, LEAVE_WITHIN_MS);
  timer.unref();
  return () => clearTimeout(timer);
}

/** Checks the name first: the pid is from the shared memory, and may be another process by now. */
function killOrphan(pid: number): void {
  try {
    if (pid > 0 && /^kilofork-(child|forker|syncer|writer)$/.test(nameOfProcess(pid)))
      process.kill(pid, "SIGKILL");
  } catch {
    // it has just ended
  }
}

/**
 * Called when all have ended: records an abnormal end for each slot that is occupied, as the
 * supervisor would have done, and frees it. Returns the number of these slots.
 */
export function recordOrphans(scoreboard: Scoreboard, logFiles: LogFiles): number {
  let count = 0;
  for (const [index, slot] of scoreboard.snapshot().entries()) {
    if (slot.state === "vacant") continue;
    if (slot.pid > 0) logFiles.recordOrphan(slot.pid, index);
    scoreboard.vacate(index);
    count++;
  }
  scoreboard.countOrphans();
  return count;
}
