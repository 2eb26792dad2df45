/** The servers that are measured side by side. */
export type ServerName =
  | "kilofork"
  | "perRequest"
  | "reference"
  | "prefork"
  | "python"
  | "cluster"
  | "net"
  | "go"
  | "loop"
  | "bare"
  | "hold";

/** kilofork in its two modes: a process for each connection, or for each request. */
export const MODES = ["perRequest", "kilofork"] as const;
export type Mode = (typeof MODES)[number];

export const LABELS: Readonly<Record<ServerName, string>> = {
  kilofork: "kilofork",
  perRequest: "kilofork, a process for each request",
  reference: "reference",
  prefork: "Net::Server",
  python: "Python",
  cluster: "node:cluster",
  net: "node:net",
  go: "Go",
  loop: "C event loop",
  bare: "bare loop",
  hold: "bare epoll",
};

export function isKilofork(name: ServerName): name is Mode {
  return name === "kilofork" || name === "perRequest";
}
