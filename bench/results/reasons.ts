/**
 * Why another one may be ahead, by what it does and does not do. Which of them is ahead, the figures
 * say; a reason is told only then. Nothing here depends on a run.
 */
import type { Topic } from "../figures/figure";

const EVENT_LOOP =
  "An event loop serves many connections in one process; with a process for each connection, a request costs switches of processes.";
const BARE = "It has no log, no counter and no time-out: it reads and sends, nothing else.";
const UNVERIFIED =
  "Its client does not verify the replies; kilofork's verifies and times each of them.";
const GATHERED =
  "It holds lines back and writes many with one call; what it holds is lost with the process.";

/** By the beginning of the label. */
const REASONS: Partial<Record<Topic, Readonly<Record<string, string>>>> = {
  "idle memory": {
    "bare loop": "Its child has a socket and nothing else: no log, no counter, no time-out.",
  },
  start: { reference: "It does not lock its children down; kilofork does so with each." },
  "round trip": { reference: UNVERIFIED },
  rate: { "node:cluster": EVENT_LOOP, "node:net": EVENT_LOOP, "bare loop": BARE },
  "client start": {
    "node -e 0": "It is what any program on Node.js takes; the client is one, and connects.",
  },
  "system calls": { "bare loop": BARE },
  log: {
    "bare write()": "It builds no record: it writes bytes that were prepared.",
    "pino, gathering": GATHERED,
    "sonic-boom, gathering": GATHERED,
  },
};

/** Undefined: the design gives none. */
export function reasonFor(topic: Topic, label: string): string | undefined {
  const known = Object.entries(REASONS[topic] ?? {});
  return known.find(([name]) => label.startsWith(name))?.[1];
}
