/** A slot of a server's shared memory (native/core/shm/slot.hpp). */
import { REFUSALS, type Refusal, STATES, type State } from "../base/enumerations";

/** One child's place in shared memory, at one instant. */
export interface Slot {
  readonly pid: number;
  readonly state: State;
  /** Time in that state, to a few milliseconds. */
  readonly stateMs: number;
  /** Of all children that ever had the slot. */
  readonly total: number;
  readonly connections: number;
  readonly childEpoch: number;
  readonly logEpoch: number;
  /** Requests of all its children that were completed, but could not be acknowledged. */
  readonly retracted: number;
  readonly refused: Readonly<Record<Refusal, number>>;
}

/** `row` has a number for each column of the addon's snapshot. */
export function slotOf(row: Float64Array): Slot {
  const [pid = 0, state = 0, stateMs = 0, total = 0, connections = 0, ...rest] = row;
  const [childEpoch = 0, logEpoch = 0, retracted = 0, ...refused] = rest;
  return {
    pid,
    state: STATES[state] ?? "vacant",
    stateMs,
    total,
    connections,
    childEpoch,
    logEpoch,
    retracted,
    refused: byRefusal(refused),
  };
}

/** Gives names to the counts of native code. */
export function byRefusal(counts: readonly number[]): Record<Refusal, number> {
  return Object.fromEntries(REFUSALS.map((refusal, i) => [refusal, counts[i] ?? 0])) as Record<
    Refusal,
    number
  >;
}
