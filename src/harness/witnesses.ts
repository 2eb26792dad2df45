/** Asks two of the witnesses of docs/concurrency.md: shared memory and kernel. */
import { readText } from "../machine/files";
import type { Scoreboard } from "../native/scoreboard";

/** Counts the slots in the state "working", in one snapshot. */
export function countWorking(scoreboard: Scoreboard): number {
  return scoreboard.snapshot().filter(({ state }) => state === "working").length;
}

const ESTABLISHED = "01";

/**
 * Counts the established connections on a local port that a process has accepted: before accept() a
 * connection has inode 0. Source: proc_pid_net(5), net/ipv4/tcp_ipv4.c.
 */
export function countAccepted(port: number): number {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  let count = 0;
  // A kernel without IPv6 lacks the second.
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of readText(table).split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [, local = "", , state] = fields;
      if (state === ESTABLISHED && local.endsWith(`:${wanted}`) && fields[9] !== "0") count++;
    }
  }
  return count;
}
