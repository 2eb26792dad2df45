/** Reads the small text files of proc(5), sysfs(5) and cgroups(7). */
import { existsSync, readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { KiloforkError } from "../base/errors";

/** Throws ERR_MACHINE_LIMIT without proc(5), where limits and processes are looked up. */
export function requireProc(): void {
  if (!existsSync("/proc/loadavg"))
    throw new KiloforkError(
      "ERR_MACHINE_LIMIT",
      "/proc is not mounted, where limits and processes are looked up: mount -t proc proc /proc",
    );
}

/** Calls `act` with the folder for temporary files. Throws ERR_START if nothing can be created there. */
export function inTemporaryFolder<T>(act: (folder: string) => T): T {
  try {
    return act(tmpdir());
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new KiloforkError(
      "ERR_START",
      `nothing can be created in ${tmpdir()}: ${code ?? message}; set TMPDIR to a folder that can be written to`,
    );
  }
}

/** Returns "" if the file is missing, or its process has ended or is another user's. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Returns Infinity if the file is missing or says "max": then there is no limit. */
export function readNumber(path: string): number {
  const text = readText(path).trim();
  return /^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
}

export function readNumbers(path: string): number[] {
  return readText(path).trim().split(/\s+/).map(Number);
}

/** Returns the bytes of a line like `Pss:  123 kB`; undefined if there is no such line. */
export function bytesNamed(name: string, text: string): number | undefined {
  const [, kilobytes] = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text) ?? [];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** Whether a process has that file open; null if its descriptors cannot be read. */
export function hasOpen(pid: number, file: Stats | undefined): boolean | null {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).some((fd) => {
      const open = statSync(`${folder}/${fd}`, { throwIfNoEntry: false });
      return file && open && open.dev === file.dev && open.ino === file.ino;
    });
  } catch {
    return null;
  }
}
