/** Durations and numbers, as people write and read them. */
import { KiloforkError } from "./errors";

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** In milliseconds. Node fires a longer timer at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Parses `250ms`, `3s`, `1.5s`, `2m` or `0` into milliseconds. Throws ERR_ARGUMENT. */
export function parseDuration(text: string): number {
  if (text === "0") return 0;
  const match = /^(\d+(?:\.\d+)?)(us|ms|s|m|h)$/.exec(text);
  const unit = MS_PER_UNIT[match?.[2] ?? ""];
  if (!match || unit === undefined)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `"${text}" is not a duration: write 250ms, 3s or 2m, or 0 for off`,
    );
  const LONGEST_HOURS = 10 * 365 * 24;
  const ms = Number(match[1]) * unit;
  if (ms > LONGEST_HOURS * 3_600_000)
    throw new KiloforkError("ERR_ARGUMENT", `"${text}" is longer than ten years`);
  return ms;
}

/** Parses `70%` as 0.7. Throws ERR_ARGUMENT. */
export function parsePercent(text: string): number {
  const percent = Number(/^(\d+)%$/.exec(text)?.[1]);
  if (!(percent >= 1 && percent <= 95))
    throw new KiloforkError("ERR_ARGUMENT", `"${text}" is not a share: write 1% to 95%`);
  return percent / 100;
}

/** Writes a duration so that {@link parseDuration} reads it: `3s`, `250ms`. */
export function writeDuration(ms: number): string {
  if (ms >= 1000 || ms === 0) return `${Number((ms / 1000).toFixed(3))}s`;
  return ms >= 1 ? `${Number(ms.toFixed(3))}ms` : `${Number((ms * 1000).toFixed(3))}us`;
}

/** Writes a duration for people, to three digits: `21.4 ms`, `3.02 s`, `87 us`. */
export function showDuration(ms: number): string {
  if (ms >= 1000) return `${toDigits(ms / 1000, 3)} s`;
  return ms >= 0.1 || ms === 0 ? `${toDigits(ms, 3)} ms` : `${toDigits(ms * 1000, 3)} us`;
}

function toDigits(value: number, digits: number): string {
  const whole = Math.max(1, Math.floor(Math.log10(Math.max(value, 1))) + 1);
  return value.toFixed(Math.max(0, digits - whole));
}

/** `48,200`. */
export function showCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

export const capitalize = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** `1 child`, `2 children`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${showCount(count)} ${count === 1 ? one : many}`;
}

/** Parses a whole number; `name` stands in the error. Throws ERR_ARGUMENT. */
export function parseCount(text: string, name: string, range: { min: number; max: number }) {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < range.min || count > range.max)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `${name} "${text}" is not a whole number from ${range.min} to ${range.max}`,
    );
  return count;
}

/** `36 kB`. */
export function showBytes(bytes: number): string {
  if (bytes >= 2 ** 30) return `${showFigure(bytes / 2 ** 30)} GB`;
  return bytes >= 2 ** 20
    ? `${showFigure(bytes / 2 ** 20)} MB`
    : `${showFigure(bytes / 2 ** 10)} kB`;
}

/** Rounds numbers below 10 to one decimal: `0.3`, `7.5`, `1,204`. */
export function showFigure(value: number): string {
  return value < 10 ? String(Number(value.toFixed(1))) : showCount(value);
}
