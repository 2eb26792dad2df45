/**
 * The predecessor: a server that is ending, and still has the port or the log that this one needs. It
 * ends by itself, so the start waits for it. Runs in the front.
 */
import { fstatSync } from "node:fs";
import { resolve } from "node:path";
import { isSystemError } from "../base/errors";
import { hasOpen } from "../machine/files";
import { lifeOf } from "../machine/process";
import { Scoreboard } from "../native/scoreboard";
import { listSegments } from "../native/segments";
import type { ServeOptions } from "./options";

/** Children that do not leave within the grace are aborted, then killed: shutdown.cpp. */
const BEYOND_GRACE_MS = 5000;

export interface Predecessor {
  /** Its front, which may be gone. */
  readonly front: number;
  /** It ends within this time. */
  readonly withinMs: number;
}

export function findPredecessor(options: ServeOptions): Predecessor | undefined {
  for (const segment of listSegments()) {
    try {
      const found = examine(segment, options);
      if (found) return found;
    } catch (error) {
      if (!isSystemError(error)) throw error; // it has just gone, or is another user's
    }
  }
  return undefined;
}

function examine(segment: string, { port, log }: ServeOptions): Predecessor | undefined {
  const scoreboard = new Scoreboard(segment);
  try {
    const header = scoreboard.header();
    const { front, graceMs } = header;
    const isWanted = header.port === port || (log !== "-" && header.log === resolve(log));
    const isEnding = header.stopping || isGone(front, scoreboard);
    const isHere = header.pidNamespace === Scoreboard.pidNamespace();
    return isWanted && isHere && isEnding && Scoreboard.lives(segment)
      ? { front, withinMs: graceMs + BEYOND_GRACE_MS }
      : undefined;
  } finally {
    scoreboard.close();
  }
}

/** Whether the front has ended. Another process may have its pid by now. */
function isGone(front: number, scoreboard: Scoreboard): boolean {
  return lifeOf(front) === "gone" || hasOpen(front, fstatSync(scoreboard.fd)) === false;
}
