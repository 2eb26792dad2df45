/**
 * The grammar of a log line (docs/operations.md). It is parsed from bytes, without strings, into one
 * {@link Record} that is reused: a log of ten million lines takes seconds.
 */

/** The kinds of records; `none`: the line is no record. */
export const enum Kind {
  none,
  init,
  front,
  birth,
  received,
  completed,
  /** A completed request was not acknowledged, since its sync failed. */
  retracted,
  total,
  unauthorized,
  refused,
  /** A request took longer than --work-timeout; its child ends. */
  expired,
  retires,
  ended,
  /** Times are in another offset from UTC from here on. */
  utcOffset,
  /** The pool as a whole did something. */
  pool,
  stop,
}

/** Fields that the kind does not have keep an older value. */
export class Record {
  kind: Kind = Kind.none;
  /** Local time as if it were UTC, in milliseconds since 1970. */
  timeMs = 0;
  pid = 0;
  /** completed, retracted: the child's count of requests; total: the total. */
  count = 0;
  /** The message, as escaped in the log: a range of the buffer that was parsed. */
  messageStart = 0;
  messageEnd = 0;
  /** received: the user's name, likewise. */
  userStart = 0;
  userEnd = 0;
  /** ended: without an order. */
  abnormal = false;
  /** refused: the code; front: the address and port. */
  text = "";
  /** front, utcOffset: local time is so far ahead of UTC. */
  utcOffsetMinutes = 0;
}

const TIME_LENGTH = 29;
const SEPARATOR = Buffer.from(" -- ");
/** Offset of a record's text in its line. */
const TEXT_AT = TIME_LENGTH + SEPARATOR.length;

const LOCAL_TIME = Buffer.from("local time is ");
const INIT = Buffer.from("Server init");
const STOP = Buffer.from("Server stop");
const FRONT = Buffer.from("front ");
const BIRTH = Buffer.from("have child pid ");
const SERVER = Buffer.from("server ");
const RECEIVED = Buffer.from(' recvd message "');
const FROM_USER = Buffer.from(" from user ");
const COMPLETED = Buffer.from('completed req "');
const ON = Buffer.from(" on ");
const TOTAL_REQS = Buffer.from(" total reqs ");
const RETRACTED = Buffer.from('not acknowledged: req "');
const TOTAL = Buffer.from("total requests ");
const UNAUTHORIZED = Buffer.from('authorization error: user "');
const REFUSED = Buffer.from("protocol error: ");
const CHILD = Buffer.from("child pid ");
const ENDED = Buffer.from(" ended: ");
const RETIRES = Buffer.from(" retires");
const EXPIRED = Buffer.from('work timeout: req "');
const AFTER = Buffer.from(" after ");
const MS = Buffer.from(" ms");
const POOL = Buffer.from("pool: ");
const ABNORMAL = Buffer.from(", abnormal");
const MARKER = Buffer.from("<torn>");
/** A line with nothing but the marker. */
export const MARKER_LINE_BYTES = MARKER.length + 1;

/** The time before the text of every record; 0 stands for any digit. */
const PREFIX = Buffer.from("0000.00.00 00:00:00.000000000 -- ");

const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const GREATER = 0x3e;
const COLON = 0x3a;
const ZERO = 0x30;

export class RecordParser {
  readonly record = new Record();
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;
  private end = 0;
  private day = -1;
  private dayMs = 0;

  /**
   * Parses bytes[start, end), a line without its newline, into {@link record}. Returns false if it is
   * no record.
   */
  parse(bytes: Buffer, start: number, end: number): boolean {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    const { record } = this;
    record.kind = Kind.none;
    if (end - start <= TEXT_AT || !this.time()) return false;
    record.kind = this.text();
    return record.kind !== Kind.none;
  }

  /**
   * Finds the record at the end of a line that began with a torn one: its writer was killed, and the
   * next record followed on the same line. Returns where it begins, or -1.
   */
  parseAfterTornHead(bytes: Buffer, start: number, end: number): number {
    const line = bytes.subarray(0, end); // indexOf() searches to the end of its buffer
    for (let at = start; ; at++) {
      at = line.indexOf(SEPARATOR, at);
      if (at < 0) return -1;
      const begin = at - TIME_LENGTH;
      if (begin > start && this.parse(bytes, begin, end)) return begin;
    }
  }

  private text(): Kind {
    const { bytes } = this;
    switch (bytes[this.at]) {
      case 0x73: // s
        return this.received();
      case 0x63: // c
        return this.skip(COMPLETED) ? this.numbered(Kind.completed) : this.child();
      case 0x6e: // n
        return this.skip(RETRACTED) ? this.numbered(Kind.retracted) : Kind.none;
      case 0x68: // h
        return this.birth();
      case 0x74: // t
        return this.skip(TOTAL) && this.count() && this.isAtEnd() ? Kind.total : Kind.none;
      case 0x61: // a
        return this.skip(UNAUTHORIZED) && this.quoted() && this.onPid()
          ? Kind.unauthorized
          : Kind.none;
      case 0x70: // p
        return this.skip(POOL) ? this.pool() : this.refused();
      case 0x6c: // l
        return this.skip(LOCAL_TIME) && this.utcOffset(this.at) ? Kind.utcOffset : Kind.none;
      case 0x77: // w
        return this.expired();
      case 0x66: // f
        return this.front();
      case 0x53: // S
        if (this.skip(INIT)) return this.isAtEnd() ? Kind.init : Kind.none;
        return this.skip(STOP) && this.isAtEnd() ? Kind.stop : Kind.none;
      default:
        return Kind.none;
    }
  }

  private received(): Kind {
    if (!this.skip(SERVER) || !this.pid() || !this.skip(RECEIVED) || !this.quoted())
      return Kind.none;
    return this.skip(FROM_USER) && this.user() ? Kind.received : Kind.none;
  }

  /** A name up to the end of the line. It has no spaces, as a record glued to it would. */
  private user(): boolean {
    const { bytes, at, end } = this;
    for (let i = at; i < end; i++) {
      const byte = bytes[i] as number;
      if (byte <= SPACE || byte === QUOTE || byte === COLON || byte === BACKSLASH) return false;
    }
    this.record.userStart = at;
    this.record.userEnd = end;
    return at < end;
  }

  /** A message, a pid, and the number of the request among those of that child. */
  private numbered(kind: Kind): Kind {
    if (!this.quoted() || !this.skip(ON) || !this.pid() || !this.skip(TOTAL_REQS)) return Kind.none;
    return this.count() && this.isAtEnd() ? kind : Kind.none;
  }

  private birth(): Kind {
    if (!this.skip(BIRTH) || !this.pid()) return Kind.none;
    return this.isAtEnd() || this.cause() ? Kind.birth : Kind.none;
  }

  private child(): Kind {
    if (!this.skip(CHILD) || !this.pid()) return Kind.none;
    if (this.skip(RETIRES)) return this.cause() ? Kind.retires : Kind.none;
    return this.skip(ENDED) ? this.ended() : Kind.none;
  }

  private ended(): Kind {
    const { bytes, record, end } = this;
    record.text = bytes.toString("latin1", this.at, end);
    record.abnormal = bytes.compare(ABNORMAL, 0, ABNORMAL.length, end - ABNORMAL.length, end) === 0;
    return /^[a-z0-9 ]+, (abnormal|stopped|retired)$/.test(record.text) ? Kind.ended : Kind.none;
  }

  private pool(): Kind {
    const text = this.bytes.toString("latin1", this.at, this.end);
    return /^(?!.* -- )[ !#-~]+$/.test(text) ? Kind.pool : Kind.none;
  }

  private expired(): Kind {
    if (!this.skip(EXPIRED) || !this.quoted() || !this.skip(ON) || !this.pid()) return Kind.none;
    const timed = this.skip(AFTER) && this.number() >= 0 && this.skip(MS) && this.isAtEnd();
    return timed ? Kind.expired : Kind.none;
  }

  /** ` (spare low)`, to the end. */
  private cause(): boolean {
    const text = this.bytes.toString("latin1", this.at, this.end);
    return /^ \([a-z ]+\)$/.test(text);
  }

  private refused(): Kind {
    if (!this.skip(REFUSED)) return Kind.none;
    const code = this.at;
    const on = this.bytes.subarray(0, this.end).indexOf(ON, code);
    if (on < 0) return Kind.none;
    this.at = on;
    this.record.text = this.bytes.toString("latin1", code, on);
    return /^[a-z-]+$/.test(this.record.text) && this.onPid() ? Kind.refused : Kind.none;
  }

  private front(): Kind {
    if (!this.skip(FRONT) || !this.pid()) return Kind.none;
    const text = this.bytes.toString("latin1", this.at, this.end);
    if (!/^ at (?!.* -- )[ -~]+ UTC[^ ]+$/.test(text)) return Kind.none;
    this.record.text = /^ at (\S+),/.exec(text)?.[1] ?? "";
    return this.utcOffset(this.at + text.lastIndexOf(" ") + 1) ? Kind.front : Kind.none;
  }

  /** `UTC+05:45`, to the end; with seconds where they are not 0. */
  private utcOffset(start: number): boolean {
    const text = this.bytes.toString("latin1", start, this.end);
    const [, sign, hours, minutes, seconds = "0"] =
      /^UTC([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(text) ?? [];
    const size = Number(hours) * 60 + Number(minutes) + Number(seconds) / 60;
    this.record.utcOffsetMinutes = sign === "-" ? -size : size;
    return sign !== undefined;
  }

  private onPid(): boolean {
    return this.skip(ON) && this.pid() && this.isAtEnd();
  }

  private pid(): boolean {
    const value = this.number();
    this.record.pid = value;
    return value > 0;
  }

  private count(): boolean {
    const value = this.number();
    this.record.count = value;
    return value >= 0;
  }

  private isAtEnd(): boolean {
    return this.at === this.end;
  }

  private skip(literal: Buffer): boolean {
    const { bytes, at } = this;
    const { length } = literal;
    if (this.end - at < length) return false;
    for (let i = 0; i < length; i++) if (bytes[at + i] !== literal[i]) return false;
    this.at = at + length;
    return true;
  }

  /** Advances past the closing quote; false at a control byte, since writers escape them. */
  private quoted(): boolean {
    const { bytes, end } = this;
    this.record.messageStart = this.at;
    for (let at = this.at; at < end; at++) {
      let byte = bytes[at] as number;
      if (byte === QUOTE) {
        this.record.messageEnd = at;
        this.at = at + 1;
        return true;
      }
      if (byte === BACKSLASH) byte = bytes[++at] as number;
      if (byte < SPACE) return false;
    }
    return false;
  }

  /** Digits; -1 when there are none. */
  private number(): number {
    const { bytes, end } = this;
    let value = 0;
    let at = this.at;
    for (; at < end; at++) {
      const digit = (bytes[at] as number) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    const found = at > this.at;
    this.at = at;
    return found ? value : -1;
  }

  /** `2020.07.06 16:44:57.270823600 -- `. */
  private time(): boolean {
    const { bytes, at } = this;
    if (bytes[at + 4] !== 0x2e || bytes[at + 7] !== 0x2e || bytes[at + 10] !== 0x20) return false;
    if (bytes[at + 13] !== 0x3a || bytes[at + 16] !== 0x3a || bytes[at + 19] !== 0x2e) return false;
    const year = this.digits(at, 4);
    const month = this.digits(at + 5, 2);
    const date = this.digits(at + 8, 2);
    const hour = this.digits(at + 11, 2);
    const minute = this.digits(at + 14, 2);
    const second = this.digits(at + 17, 2);
    const nanosecond = this.digits(at + 20, 9);
    const day = (year * 12 + month - 1) * 31 + date;
    // digits() returns NaN for anything else, and NaN >= 0 is false
    if (!(second + nanosecond + minute + hour + day >= 0)) return false;
    if (day !== this.day) {
      this.day = day;
      this.dayMs = Date.UTC(year, month - 1, date);
    }
    this.record.timeMs =
      this.dayMs + hour * 3_600_000 + minute * 60_000 + second * 1000 + nanosecond / 1e6;
    this.at = at + TIME_LENGTH;
    return this.skip(SEPARATOR);
  }

  private digits(at: number, length: number): number {
    const { bytes } = this;
    let value = 0;
    for (let i = at; i < at + length; i++) {
      const digit = (bytes[i] as number) - ZERO;
      if (digit < 0 || digit > 9) return Number.NaN;
      value = value * 10 + digit;
    }
    return value;
  }
}

/** Whether bytes[start, end) end in the marker with which a writer closes a torn record. */
export function endsInMarker(bytes: Buffer, start: number, end: number): boolean {
  if (bytes[end - 1] !== GREATER) return false;
  const at = end - MARKER.length;
  return at >= start && bytes.compare(MARKER, 0, MARKER.length, at, end) === 0;
}

/** Whether bytes[start, end) begin like the time of a record, as far as they go. */
export function beginsAsRecord(bytes: Buffer, start: number, end: number): boolean {
  const length = Math.min(end - start, PREFIX.length);
  for (let i = 0; i < length; i++) {
    const byte = bytes[start + i] as number;
    const isDigit = byte >= ZERO && byte < COLON;
    if (PREFIX[i] === ZERO ? !isDigit : byte !== PREFIX[i]) return false;
  }
  return length > 0;
}
