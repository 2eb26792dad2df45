/** The connections that the kernel has: proc_pid_net(5). */
import { readText } from "./files";

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
