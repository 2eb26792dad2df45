/**
 * Searches the largest load that holds: doubles the load until it does not hold, then bisects. Pure:
 * the caller tries the loads.
 */

/** The outcome of one try. late: all replies were right, but some were late. */
export type Outcome = "held" | "late" | "broke";

export interface SearchPlan {
  /** The first load; the maximum is tried instead if it is less. */
  readonly first: number;
  readonly max: number;
  /** Number of times in a row that a load must hold. */
  readonly repeats: number;
  /** Tries a load once. It is not called after an interruption. */
  readonly attempt: (load: number) => Promise<Outcome>;
  readonly signal?: AbortSignal;
}

export interface Found {
  /** The largest load that held; 0: none. */
  readonly held: number;
  /** The smallest that did not hold; null: all up to the maximum held. */
  readonly broke: number | null;
  /** False if it was interrupted: then these are bounds. */
  readonly complete: boolean;
}

/** The search ends when the two bounds are this close, relative to the lower one. */
const RESOLUTION = 0.03;

/** Rejects if `attempt` does. */
export async function search(plan: SearchPlan): Promise<Found> {
  let held = 0;
  let broke: number | null = null;
  for (
    let load: number | null = Math.min(plan.first, plan.max);
    load !== null && load > 0;
    load = next(held, broke, plan.max)
  ) {
    const holds = await holdsEachTime(load, plan);
    if (holds === null) return { held, broke, complete: false };
    if (holds) held = load;
    else broke = load;
  }
  return { held, broke, complete: true };
}

/** Returns null if interrupted. Forgives one late trial: other work may have delayed it. */
async function holdsEachTime(
  load: number,
  { repeats, attempt, signal }: SearchPlan,
): Promise<boolean | null> {
  let forgiven = false;
  for (let times = 0; times < repeats; ) {
    if (signal?.aborted) return null;
    const outcome = await attempt(load);
    if (signal?.aborted) return null;
    if (outcome === "broke" || (outcome === "late" && forgiven)) return false;
    if (outcome === "late") forgiven = true;
    else times++;
  }
  return true;
}

/**
 * Returns the load to try next; null at the end. Bisects by ratio: 10 is between 1 and 100. If the
 * first load breaks, tries 1 next, to learn early whether anything holds.
 */
function next(held: number, broke: number | null, max: number): number | null {
  if (broke === null) return held < max ? Math.min(2 * held, max) : null;
  if (held === 0) return broke > 1 ? 1 : null;
  if (broke - held <= Math.max(1, held * RESOLUTION)) return null;
  return Math.min(broke - 1, Math.max(held + 1, Math.round(Math.sqrt(held * broke))));
}
