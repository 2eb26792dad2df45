/**
 * The largest load that holds: doubling until one does not, then bisecting. Pure but for what it
 * tries: it is told whether a load held, and knows nothing of clients or servers.
 */

/** Late: all was right, but not in time. */
export type Outcome = "held" | "late" | "broke";

export interface SearchPlan {
  /** The first load that is tried, or the maximum when that is less. */
  readonly first: number;
  readonly max: number;
  /** A load holds when it does so many times in a row. */
  readonly repeats: number;
  /** Tries a load once. Not called again when the search was interrupted meanwhile. */
  readonly attempt: (load: number) => Promise<Outcome>;
  readonly signal?: AbortSignal;
}

export interface Found {
  /** The largest that held; 0: not even one. */
  readonly held: number;
  /** The smallest that did not; null: all up to the maximum held. */
  readonly broke: number | null;
  /** False: it was interrupted, and these are bounds. */
  readonly complete: boolean;
}

/** What is not held against what is held: so close together, and the search is over. */
const RESOLUTION = 0.03;

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

/** Null: interrupted. Late once is forgiven: others may have taken the processors for a moment. */
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
 * The load to try next, or null. Bisecting goes by ratio, as doubling does: half way from 1 to 100
 * is 10. When the first load breaks, one is tried at once: what cannot hold it, holds nothing.
 */
function next(held: number, broke: number | null, max: number): number | null {
  if (broke === null) return held < max ? Math.min(2 * held, max) : null;
  if (held === 0) return broke > 1 ? 1 : null;
  if (broke - held <= Math.max(1, held * RESOLUTION)) return null;
  return Math.min(broke - 1, Math.max(held + 1, Math.round(Math.sqrt(held * broke))));
}
