/** The two witnesses that are asked at one instant: shared memory and kernel (docs/concurrency.md). */
import { readFileSync } from "node:fs";
import type { Scoreboard } from "../native/scoreboard";

/** Slots that are working, in one snapshot. */
export function countWorking(scoreboard: Scoreboard): number {
  return scoreboard.snapshot().filter(({ state }) => state === "working").length;
}

const ESTABLISHED = "01";

/**
 * Connections that the kernel has on a local port and that a process has accepted: until then they
 * have no inode. Source: proc_pid_net(5), net/ipv4/tcp_ipv4.c.
 */
export function countAccepted(port: number): number {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  let count = 0;
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of readTable(table).split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [, local = "", , state] = fields;
      if (state === ESTABLISHED && local.endsWith(`:${wanted}`) && fields[9] !== "0") count++;
    }
  }
  return count;
}

function readTable(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // a kernel without IPv6
  }
}
