/** Children whose supervisor has died, and who cannot hear it because they are stopped. */
import { readFileSync } from "node:fs";

/** By pid, as its slot names it; unless it is a stranger's by now. */
export function killOrphan(pid: number): void {
  try {
    if (pid > 0 && readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "kilofork-child")
      process.kill(pid, "SIGKILL");
  } catch {
    // it left in between
  }
}
