/** Signals that were ignored when the program was started. Node forgets that; bin/kilofork names them. */

const IGNORED = (process.env.KILOFORK_IGNORED ?? "").split(" ");

/** Those that the program may handle: one that was ignored stays so. signal(7), nohup(1). */
export function heeded<Signal extends NodeJS.Signals>(signals: readonly Signal[]): Signal[] {
  return signals.filter((signal) => !IGNORED.includes(signal));
}
