/** Signals to `kilofork serve`, as orders to its server: signal(7), docs/operations.md. */
import { reapStranger } from "../native/processes";
import type { Server } from "./server";
import { Terminal } from "./terminal";

/** Returns what takes the handlers away again. */
export function handleSignals(server: Server): () => void {
  const terminal = new Terminal();
  const onHangUp = () => {
    if (terminal.hasHungUp()) {
      terminal.letGo();
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
    SIGXFSZ: () => {}, // a write beyond the largest size of a file fails, and that is handled
  };
  for (const [signal, handler] of Object.entries(handlers)) process.on(signal, handler);
  // The end of a supervisor that waits to be reaped hides those of others.
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
