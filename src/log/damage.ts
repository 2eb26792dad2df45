/**
 * Reads a log as whole records and the bytes between them. Those bytes are harmless when a kill, a
 * full disk or a loss of power left them, and damage when records may have been destroyed.
 */
import { showCount } from "../base/units";
import { type Line, readLines } from "./lines";
import { beginsAsRecord, endsInMarker, Kind, type Record, RecordParser } from "./record";

const KINDS = {
  /** The last line of a file, or of a run: it lacks its newline, or ends in NUL bytes. */
  tornTail: { name: "torn tails", harmless: true },
  /** The beginning of a record whose writer was killed; the next record follows on the same line. */
  tornHead: { name: "torn heads", harmless: true },
  /** The beginning of a record that a full disk cut; its writer closed it with `<torn>`. */
  shortWrite: { name: "short writes", harmless: true },
  /** A line with NUL bytes before its end. */
  nulRun: { name: "NUL bytes", harmless: false },
  /** A line that begins like a record but is none. */
  halfRecord: { name: "half records", harmless: false },
  foreignLine: { name: "foreign lines", harmless: false },
} as const;

export type DamageKind = keyof typeof KINDS;

export interface Place {
  readonly log: string;
  readonly offset: number;
  /** Includes the newline, unless a record follows on the same line. */
  readonly bytes: number;
}

/** All places of one kind, as `--json` gives them. */
export interface Damage {
  readonly kind: DamageKind;
  readonly harmless: boolean;
  readonly count: number;
  readonly bytes: number;
  /** The first ten. */
  readonly places: readonly Place[];
}

/** Gets all bytes of a log, in order. The buffers are valid during the call only. */
export interface LogReader {
  /** bytes[start, end) is a record, and a newline follows. */
  onRecord(record: Record, bytes: Buffer, start: number, end: number): void;
  /** `text` is the bytes without a newline; of more than 512 kB, only the end. */
  onDamage(kind: DamageKind, place: Place, text: Buffer): void;
}

/** Throws ERR_UNREADABLE. */
export function readLog(log: string, reader: LogReader): void {
  const parser = new RecordParser();
  const { record } = parser;
  readLines(log, (line) => {
    const { bytes, start, end, ended, cut } = line;
    // Without its newline, what looks like a record may still be the head of a longer one.
    const mayHoldRecord = ended && !endsInMarker(bytes, start, end);
    if (mayHoldRecord && cut === 0 && parser.parse(bytes, start, end))
      return reader.onRecord(record, bytes, start, end);
    const glued = mayHoldRecord ? parser.parseAfterTornHead(bytes, start, end) : -1;
    const next = glued < 0 ? Kind.none : record.kind;
    const text = bytes.subarray(start, glued < 0 ? end : glued);
    const newline = ended && glued < 0 ? 1 : 0;
    const place = { log, offset: line.offset, bytes: cut + text.length + newline };
    reader.onDamage(kindOf(text, line, next), place, text);
    if (glued >= 0) reader.onRecord(record, bytes, glued, end);
  });
}

/** `next` is the kind of the record that follows on the same line, or none. */
function kindOf(text: Buffer, { ended, cut }: Line, next: Kind): DamageKind {
  const isTail = !ended || next === Kind.init;
  if ((isTail ? withoutNulAtEnd(text) : text).includes(0)) return "nulRun";
  if (isTail) return "tornTail";
  if (endsInMarker(text, 0, text.length)) return "shortWrite";
  if (cut > 0 || !beginsAsRecord(text, 0, text.length)) return "foreignLine";
  return next === Kind.none ? "halfRecord" : "tornHead";
}

function withoutNulAtEnd(text: Buffer): Buffer {
  let end = text.length;
  while (end > 0 && text[end - 1] === 0) end--;
  return text.subarray(0, end);
}

const MOST_PLACES = 10;

/** Counts damage by kind. Keeps only the first places, since a log may be damaged all over. */
export class DamageTally {
  private readonly damage = new Map<
    DamageKind,
    { count: number; bytes: number; places: Place[] }
  >();

  add(kind: DamageKind, place: Place): void {
    const of = this.damage.get(kind) ?? { count: 0, bytes: 0, places: [] };
    this.damage.set(kind, of);
    of.count++;
    of.bytes += place.bytes;
    if (of.places.length < MOST_PLACES) of.places.push(place);
  }

  count(...kinds: DamageKind[]): number {
    return kinds.reduce((sum, kind) => sum + (this.damage.get(kind)?.count ?? 0), 0);
  }

  report(): Damage[] {
    return [...this.damage].map(([kind, of]) => ({ kind, harmless: KINDS[kind].harmless, ...of }));
  }
}

export function isHarmless(kind: DamageKind): boolean {
  return KINDS[kind].harmless;
}

/** One line for each kind; the log is named when there are several. */
export function showDamage(damage: readonly Damage[], logs: readonly string[]): string[] {
  const counts = damage.map(({ count }) => showCount(count));
  const width = Math.max(...counts.map((count) => count.length));
  return damage.map(({ kind, harmless, count, places }, i) => {
    const where = places.map(({ log, offset }) => (logs.length > 1 ? `${log}:${offset}` : offset));
    const more = count > places.length ? ` and ${showCount(count - places.length)} more` : "";
    const verdict = harmless ? "harmless" : "DAMAGE  ";
    return `  ${KINDS[kind].name.padEnd(13)}  ${counts[i]?.padStart(width)}  ${verdict}  at ${where.join(", ")}${more}`;
  });
}
