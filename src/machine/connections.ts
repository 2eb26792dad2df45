/** The connections that the kernel has: proc_pid_net(5). */
import { readText } from "./files";

const ESTABLISHED = "01";
const LISTEN = "0A";

/**
 * Counts the established connections on a local port that a process has accepted: before accept() a
 * connection has inode 0. Source: proc_pid_net(5), net/ipv4/tcp_ipv4.c.
 */
export function countAccepted(port: number): number {
  return socketsOn(port).filter(({ state, inode }) => state === ESTABLISHED && inode !== "0")
    .length;
}

/** Whether a socket of this network namespace listens on a port, at any address. */
export function isListenedOn(port: number): boolean {
  return socketsOn(port).some(({ state }) => state === LISTEN);
}

/** The TCP sockets with a local port. */
function socketsOn(port: number): { readonly state: string; readonly inode: string }[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  // A kernel without IPv6 lacks the second.
  return ["/proc/net/tcp", "/proc/net/tcp6"]
    .flatMap((table) => readText(table).split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = ""]) => local.endsWith(wanted))
    .map(([, , , state = "", , , , , , inode = ""]) => ({ state, inode }));
}
