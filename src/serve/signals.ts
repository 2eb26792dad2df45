/** The signal handlers of `kilofork serve`: signal(7), docs/operations.md. */
import { heeded } from "../machine/signals";
import { Terminal } from "../machine/terminal";
import { reapStranger } from "../native/processes";
import type { StopCause } from "./events";
import type { Server } from "./server";

/**
 * Two orders to stop within this time are one. A Ctrl-C or a hang-up may come twice: from the terminal,
 * and from a shell or npx that passes it on.
 */
const ONE_ORDER_MS = 500;

/**
 * Installs the handlers, and handles `early` signals; returns the function that removes them. From then on the process ends with
 * its own exit code, whatever signal comes; SIGQUIT ends it if something holds it up.
 */
export function handleSignals(server: Server, early: ReadonlySet<NodeJS.Signals>): () => void {
  const terminal = new Terminal();
  let stoppedMs = Number.NEGATIVE_INFINITY;
  const stop = (by: StopCause) => {
    const nowMs = performance.now();
    if (nowMs - stoppedMs < ONE_ORDER_MS) return;
    stoppedMs = nowMs;
    server.stop(by);
  };
  const onHangUp = () => {
    if (terminal.hasHungUp() && heeded(["SIGHUP"]).length > 0) {
      terminal.release();
      stop("hang-up");
    } else {
      server.reload();
    }
  };
  const handlers: Partial<Record<NodeJS.Signals, () => void>> = {
    SIGTERM: () => stop("SIGTERM"),
    SIGINT: () => stop("SIGINT"),
    SIGQUIT: () => server.quit("SIGQUIT"),
    SIGHUP: onHangUp,
    SIGUSR1: () => server.reopen(),
    SIGUSR2: () => server.replace(),
    SIGCHLD: () => reapStrangers(server),
    SIGXFSZ: () => {}, // a write beyond the size limit of files fails instead, and that is handled
  };
  // A SIGHUP is also an order to reload, so it is handled even if hang-ups are ignored.
  if (heeded(["SIGINT"]).length === 0) delete handlers.SIGINT;
  for (const [signal, handler] of Object.entries(handlers)) process.on(signal, handler);
  for (const signal of early) handlers[signal]?.();
  // A supervisor that waits to be reaped hides other children that have ended.
  server.on("supervisor-ended", () => reapStrangers(server));
  return () => {
    for (const [signal, handler] of Object.entries(handlers)) {
      if (signal !== "SIGQUIT") process.on(signal, () => {});
      process.removeListener(signal, handler);
    }
  };
}

/** As process 1 of a container, the front inherits orphans of others, and must reap them. */
function reapStrangers(server: Server): void {
  if (process.pid !== 1) return;
  while (reapStranger(server.supervisorPid));
}
