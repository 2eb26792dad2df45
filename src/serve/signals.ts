/** The signal handlers of `kilofork serve`: signal(7), docs/operations.md. */
import { reapStranger } from "../native/processes";
import type { Server } from "./server";
import { Terminal } from "./terminal";

/** Installs the handlers; returns the function that removes them. */
export function handleSignals(server: Server): () => void {
  const terminal = new Terminal();
  const onHangUp = () => {
    if (terminal.hasHungUp()) {
      terminal.release();
      server.stop();
    } else {
      server.reload();
    }
  };
  const handlers: Partial<Record<NodeJS.Signals, () => void>> = {
    SIGTERM: () => server.stop(),
    SIGINT: () => server.stop(),
    SIGQUIT: () => server.quit(),
    SIGHUP: onHangUp,
    SIGUSR1: () => server.reopen(),
    SIGUSR2: () => server.replace(),
    SIGCHLD: () => reapStrangers(server),
    SIGXFSZ: () => {}, // a write beyond the size limit of files fails instead, and that is handled
  };
  for (const [signal, handler] of Object.entries(handlers)) process.on(signal, handler);
  // A supervisor that waits to be reaped hides other children that have ended.
  server.on("supervisor-ended", () => reapStrangers(server));
  return () => {
    for (const [signal, handler] of Object.entries(handlers))
      process.removeListener(signal, handler);
  };
}

/** As process 1 of a container, the front inherits orphans of others, and must reap them. */
function reapStrangers(server: Server): void {
  if (process.pid !== 1) return;
  while (reapStranger(server.supervisorPid));
}
