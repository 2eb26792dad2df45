/** Children whose supervisor has died: they end by themselves, unless they are stopped. */
import { readFileSync } from "node:fs";
import type { Scoreboard } from "../native/scoreboard";
import type { LogFiles } from "./log-files";

/** For children that are stopped, or stuck in the kernel. */
const LEAVE_WITHIN_MS = 3000;

/** Kills those that are still there after a while; returns what calls that off. */
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

/** The pid is from the shared memory: another process may have it by now. */
function killOrphan(pid: number): void {
  try {
    if (
      pid > 0 &&
      /^kilofork-(child|forker|syncer)$/m.test(readFileSync(`/proc/${pid}/comm`, "utf8"))
    )
      process.kill(pid, "SIGKILL");
  } catch {
    // it left in between
  }
}

/**
 * When all have ended: records an abnormal end for each slot that is still occupied, as the
 * supervisor would have done, and frees it. Returns how many there were.
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
