/** Processes whose supervisor has died, and who cannot hear it because they are stopped. */
import { readFileSync } from "node:fs";

/** By pid, as the shared memory names it; unless it is a stranger's by now. */
export function killOrphan(pid: number): void {
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
