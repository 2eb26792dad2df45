/** The work that a child does for each request: `none`, `sleep:3s`, `spin:5ms`. */
import { KiloforkError } from "../base/errors";
import { parseDuration, writeDuration } from "../base/units";

export type Work =
  | { readonly kind: "none" }
  /** `sleep` takes time, `spin` processor time. */
  | { readonly kind: "sleep" | "spin"; readonly durationMs: number };

/** Throws ERR_ARGUMENT. */
export function parseWork(text: string): Work {
  const [kind, time, ...rest] = text.split(":");
  if (kind === "none" && time === undefined) return { kind };
  if ((kind !== "sleep" && kind !== "spin") || time === undefined || rest.length > 0)
    throw new KiloforkError("ERR_ARGUMENT", `--work "${text}": write none, sleep:3s or spin:5ms`);
  return { kind, durationMs: parseDuration(time) };
}

/** Writes work so that {@link parseWork} reads it. */
export function writeWork(work: Work): string {
  return work.kind === "none" ? "none" : `${work.kind}:${writeDuration(work.durationMs)}`;
}
