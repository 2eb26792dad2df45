/** Waits for a state, not for a time: the limits are for a state that never comes. */
import { setTimeout as sleep } from "node:timers/promises";

/** Asks until the answer is true or a value; undefined if that does not come in time. */
export async function within<T>(
  limitMs: number,
  ask: () => T | Promise<T>,
): Promise<NonNullable<T> | undefined> {
  for (const deadline = performance.now() + limitMs; ; await sleep(10)) {
    const answer = await ask();
    if (answer) return answer as NonNullable<T>;
    if (performance.now() > deadline) return undefined;
  }
}

/** Likewise, but throws if the answer does not come in time. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  limitMs = 30_000,
): Promise<NonNullable<T>> {
  const answer = await within(limitMs, ask);
  if (answer === undefined) throw new Error(`waited in vain until ${what}`);
  return answer;
}
