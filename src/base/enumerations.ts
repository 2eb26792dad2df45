/**
 * The enumerations that TypeScript and native code share, each in the order of its C++ enum: a
 * value crosses as its index. The names beside the enums in native/core are the source; the addon
 * exports them, and native/addon.ts compares them with these lists when it loads the addon.
 */

/** What a child is doing (native/core/shm). */
export const STATES = [
  "vacant",
  "starting",
  "idle",
  "reading",
  "working",
  "syncing",
  "replying",
  "stopping",
] as const;
export type State = (typeof STATES)[number];

/** Why a client was refused (native/core/base/protocol.hpp); also the codes on the wire. */
export const REFUSALS = [
  "protocol",
  "unauthorized",
  "too-long",
  "timeout",
  "unavailable",
  "shutting-down",
  "busy",
] as const;
export type Refusal = (typeof REFUSALS)[number];

/**
 * Why a child was forked, was told to leave, or ended (native/core/base/cause.hpp); also the words
 * of the log.
 */
export const CAUSES = [
  "start",
  "spare low",
  "queue",
  "idle",
  "recycled",
  "replaced",
  "asked",
  "stopped",
  "cut",
  "crashed",
  "killed",
  "sick",
  "work timeout",
  "orphaned",
] as const;
export type Cause = (typeof CAUSES)[number];

/** Causes of an end without an order. `cut`: the request was aborted. */
const DEATHS = [
  "cut",
  "crashed",
  "killed",
  "sick",
  "work timeout",
  "orphaned",
] as const satisfies readonly Cause[];

export function isDeath(cause: Cause): boolean {
  return (DEATHS as readonly Cause[]).includes(cause);
}

/** What keeps the pool from growing (native/core/shm). */
export const GROWTH_LIMITS = ["none", "maximum", "memory", "processes", "births"] as const;
export type GrowthLimit = (typeof GROWTH_LIMITS)[number];

/** Orders that the front of a running server answers (native/core/shm). */
export const ORDERS = ["reload", "reopen", "replace"] as const;
export type Order = (typeof ORDERS)[number];

/** How a request of the load client failed (native/core/load/load_results.hpp). */
const FAILURES = [
  "connect",
  "ungreeted",
  "greeting",
  "timeout",
  "mismatch",
  "refused",
  "lost",
  "unsent",
  "overdue",
] as const;
export type FailureKind = (typeof FAILURES)[number];

/** Each list by the name under which the addon exports it. */
export const ENUMERATIONS: Readonly<Record<string, readonly string[]>> = {
  states: STATES,
  refusals: REFUSALS,
  causes: CAUSES,
  deaths: DEATHS,
  growthLimits: GROWTH_LIMITS,
  orders: ORDERS,
  failures: FAILURES,
};

/** Returns a sentence for each list that differs between the addon and this file. */
export function differencesOfEnumerations(
  native: Readonly<Record<string, readonly string[]>>,
  ours = ENUMERATIONS,
): string[] {
  const names = [...new Set([...Object.keys(ours), ...Object.keys(native)])];
  return names.flatMap((name) => {
    const here = ours[name] ?? [];
    const there = native[name] ?? [];
    const onlyHere = here.filter((entry) => !there.includes(entry));
    const onlyThere = there.filter((entry) => !here.includes(entry));
    const found = [
      ...onlyHere.map((entry) => `the addon lacks "${entry}"`),
      ...onlyThere.map((entry) => `"${entry}" is in the addon only`),
    ];
    if (found.length === 0 && here.join() !== there.join()) found.push("the order differs");
    return found.length === 0 ? [] : [`${name}: ${found.join(", ")}`];
  });
}
