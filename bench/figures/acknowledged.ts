/**
 * What it costs that a reply waits for the disk, and, on a disk with slow syncs, what one sync for
 * many requests saves.
 */
import { findServer } from "../../src/status/servers";
import { Tracer } from "../../test/support/tracer";
import { BACKLOG } from "../measures/load";
import { closedLoop } from "../measures/rate";
import type { Harness } from "../servers/harness";
import { requireInstalled } from "../servers/installed";
import { type Figure, higher, type Size } from "./figure";

/** As a disk that spins takes; strace injects it. */
const SLOW_SYNC_MS = 5;
/** A slow disk gets a fourth of the requests, so that it takes about as long. */
const SLOW_SHARE = 4;

export function ackFiguresOf(harness: Harness, { children, requests }: Size): Figure[] {
  const measure =
    (ack: "written" | "synced", slow = false) =>
    () =>
      acknowledged(harness, children, slow ? requests / SLOW_SHARE : requests, ack, slow);
  const one = (label: string, perSecond: number) => ({ label, measure: async () => perSecond });
  return [
    {
      name: `requests a second on ${children} connections, acknowledged when synced`,
      topic: "rate synced",
      unit: "/s",
      better: "more",
      subjects: [
        { label: "synced", measure: async () => (await measure("synced")()).perSecond },
        { label: "written", measure: async () => (await measure("written")()).perSecond },
      ],
      goals: [higher(0.6, "written")],
    },
    {
      name: `requests for each sync, on ${children} connections`,
      topic: "requests a sync",
      unit: "",
      better: "more",
      subjects: [
        { label: "synced", measure: async () => (await measure("synced")()).perSync },
        one("one sync a request", 1),
      ],
      goals: [higher(20, "one sync a request")],
    },
    {
      name: `requests a second on ${children} connections, where a sync takes ${SLOW_SYNC_MS} ms`,
      topic: "rate on a slow disk",
      unit: "/s",
      better: "more",
      subjects: [
        { label: "synced", measure: async () => (await measure("synced", true)()).perSecond },
        one("one sync a request, computed", 1000 / SLOW_SYNC_MS),
      ],
      goals: [higher(100, "one sync a request, computed")],
    },
  ];
}

async function acknowledged(
  harness: Harness,
  connections: number,
  requests: number,
  ack: "written" | "synced",
  slow: boolean,
): Promise<{ perSecond: number; perSync: number }> {
  if (slow) requireInstalled("strace");
  const setting = { children: connections, workMs: 0, backlog: BACKLOG, ack };
  const server = await harness.start("kilofork", setting);
  const { scoreboard } = findServer({ port: server.port, pid: undefined });
  const tracer = slow ? await delaySyncs(scoreboard.header().sync.syncer) : undefined;
  try {
    const { requestsPerSecond: perSecond } = await closedLoop(server, connections, requests);
    const { requests: waited, syncs } = scoreboard.header().sync;
    return { perSecond, perSync: waited / Math.max(syncs, 1) };
  } finally {
    tracer?.kill();
    scoreboard.close();
    await server.stop();
  }
}

/** Delays each sync of the syncer. The tracer's own time comes on top, to kilofork's disadvantage. */
function delaySyncs(syncer: number): Promise<Tracer> {
  const inject = `inject=fdatasync:delay_exit=${SLOW_SYNC_MS * 1000}`;
  return Tracer.attach(syncer, ["-e", "trace=fdatasync", "-e", inject]);
}
