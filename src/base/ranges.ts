/** The largest values that options accept. */

export const MOST_CHILDREN = 1_000_000;
export const MOST_CLIENTS = 1_000_000;
export const MOST_REQUESTS = 1_000_000_000;
export const MOST_REQUESTS_A_SECOND = 10_000_000;
/** The largest pid_max of a 64-bit kernel. */
export const MOST_PID = 2 ** 22;
