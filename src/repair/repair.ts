/**
 * Writes a clean copy of a log: every whole record, in order and byte for byte, and nothing else. Only
 * reads the log. The copy appears when it is complete, or not at all. Prints nothing.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from "node:fs";
import { KiloforkError } from "../base/errors";
import { type Damage, DamageTally, readLog } from "../log/damage";
import { readText } from "../machine/files";

export interface RepairOptions {
  readonly log: string;
  readonly out: string;
  /** File for what is left out: a line each with offset, kind and bytes. */
  readonly rejected: string | undefined;
}

/** The result, as `--json` gives it. */
export interface RepairResult {
  readonly kind: "repair";
  readonly schema: 1;
  /** The copy was written; otherwise an error is thrown. */
  readonly ok: true;
  readonly problems: readonly string[];
  readonly log: string;
  readonly out: string;
  readonly rejected: string | null;
  /** A running server writes to the log: its last line may be incomplete. */
  readonly heldByServer: boolean;
  readonly kept: { readonly records: number; readonly bytes: number };
  readonly leftOut: { readonly bytes: number; readonly damage: readonly Damage[] };
}

/**
 * Throws ERR_ARGUMENT if a new file exists already or has no folder, ERR_OUTPUT if it cannot be
 * written, ERR_UNREADABLE for the log, ERR_NO_LOG if there is nothing to keep.
 */
export function repair({ log, out, rejected }: RepairOptions): RepairResult {
  const original = status(log);
  const mode = original.isFile() ? original.mode & 0o777 : 0o640;
  const heldByServer = isHeld(original);
  const damage = new DamageTally();
  const kept = { records: 0, bytes: 0 };
  let leftOut = 0;
  const files: NewFile[] = [];
  const create = (path: string) => {
    const file = new NewFile(path, mode);
    files.push(file);
    return file;
  };
  try {
    const copy = create(out);
    const rest = rejected === undefined ? undefined : create(rejected);
    readLog(log, {
      onRecord(_record, bytes, start, end) {
        copy.write(bytes, start, end + 1);
        kept.records++;
        kept.bytes += end + 1 - start;
      },
      onDamage(kind, place, text) {
        damage.add(kind, place);
        leftOut += place.bytes;
        rest?.writeText(`${place.offset} ${kind} ${escapeBytes(text)}\n`);
      },
    });
    if (kept.records === 0 && leftOut > 0)
      throw new KiloforkError("ERR_NO_LOG", `${log}: no record of a server in it`);
    for (const file of files) file.finish();
  } catch (error) {
    for (const file of files) file.discard();
    throw error;
  } finally {
    for (const file of files) file.close();
  }
  return {
    kind: "repair",
    schema: 1,
    ok: true,
    problems: [],
    log,
    out,
    rejected: rejected ?? null,
    heldByServer,
    kept,
    leftOut: { bytes: leftOut, damage: damage.report() },
  };
}

function status(log: string): Stats {
  try {
    return statSync(log);
  } catch (error) {
    throw new KiloforkError("ERR_UNREADABLE", `cannot read the log: ${(error as Error).message}`);
  }
}

/**
 * Whether a server holds its flock(2) on the file. Reads proc_locks(5), since trying the lock could
 * make a starting server fail. Ignores the device: btrfs lists another one than stat(2).
 */
function isHeld({ ino }: Stats): boolean {
  return new RegExp(`: FLOCK +ADVISORY +WRITE .*:${ino} `).test(readText("/proc/locks"));
}

/** Escapes bytes that are not plain ASCII as `\xNN`, a run of equal ones as `\xNN{1000}`. */
function escapeBytes(text: Buffer): string {
  return text.toString("latin1").replace(/([^ -~]|\\)\1*/g, (run, first: string) => {
    const byte = `\\x${first.charCodeAt(0).toString(16).padStart(2, "0")}`;
    return run.length > 1 ? `${byte}{${run.length}}` : byte;
  });
}

const BUFFER_BYTES = 1 << 20;

/** A new file, which gets its name by link(2) when it is complete and on disk. */
class NewFile {
  private readonly fd: number;
  private readonly partial: string;
  private hasName = false;
  private readonly buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  private filled = 0;

  constructor(
    private readonly path: string,
    private readonly mode: number,
  ) {
    if (lstatSync(path, { throwIfNoEntry: false })) throw this.inTheWay();
    this.partial = `${path}.partial-${randomBytes(4).toString("hex")}`;
    this.fd = this.try(() => openSync(this.partial, "wx", 0o600));
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (end - start > BUFFER_BYTES - this.filled) this.flush();
    this.filled += bytes.copy(this.buffer, this.filled, start, end);
  }

  writeText(text: string): void {
    for (let bytes = Buffer.from(text); bytes.length > 0; bytes = bytes.subarray(BUFFER_BYTES))
      this.write(bytes, 0, Math.min(bytes.length, BUFFER_BYTES));
  }

  /** Syncs the file and gives it its name. */
  finish(): void {
    this.flush();
    this.try(() => {
      fchmodSync(this.fd, this.mode);
      fsyncSync(this.fd);
      linkSync(this.partial, this.path);
    });
    this.hasName = true;
    rmSync(this.partial);
  }

  /** Removes the file, also after {@link finish}. */
  discard(): void {
    rmSync(this.hasName ? this.path : this.partial, { force: true });
  }

  close(): void {
    closeSync(this.fd);
  }

  private flush(): void {
    for (let at = 0; at < this.filled; )
      at += this.try(() => writeSync(this.fd, this.buffer, at, this.filled - at));
    this.filled = 0;
  }

  private try<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "EEXIST") throw this.inTheWay();
      if (code === "ENOENT")
        throw new KiloforkError("ERR_ARGUMENT", `the folder of ${this.path} is missing`);
      throw new KiloforkError("ERR_OUTPUT", `cannot write ${this.path}: ${message}`);
    }
  }

  private inTheWay() {
    return new KiloforkError("ERR_ARGUMENT", `${this.path} exists already; give a new file`);
  }
}
