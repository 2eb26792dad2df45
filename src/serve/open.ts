/** Opens socket, log and spawn log. An error says in one line what failed, and what to do. */
import { closeSync, constants, fdatasyncSync, fstatSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { isSystemError, KiloforkError } from "../base/errors";
import { isListenedOn } from "../machine/connections";
import { Log } from "../native/log";
import { listen } from "../native/sockets";
import type { ServeOptions } from "./options";

/** The address is numeric. The caller closes the descriptor. Throws ERR_LISTEN or ERR_IN_USE. */
export function openListener(
  address: string,
  { port, backlog, writeTimeoutMs }: ServeOptions,
): { fd: number; port: number } {
  try {
    return listen({ address, port, backlog, writeTimeoutMs });
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const remedy: Record<string, string> = {
      EADDRINUSE: isListenedOn(port)
        ? "another program listens there; stop it or give another port"
        : "a connection of another program has that port as its own; wait for its end, give another port, or reserve this one (sysctl net.ipv4.ip_local_reserved_ports)",
      EACCES: "ports below 1024 need a privilege; give another port",
      EADDRNOTAVAIL: "this machine has no such address; give another host",
    };
    throw new KiloforkError(
      error.code === "EADDRINUSE" ? "ERR_IN_USE" : "ERR_LISTEN",
      `cannot listen on ${address}:${port}: ${remedy[error.code] ?? error.message}`,
    );
  }
}

/** Opens the spawn log; /dev/null if there is none. */
export function openSpawnLog(path: string | undefined): number {
  // Opening a FIFO must not wait for its reader.
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;
  const flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  try {
    const fd = openSync(path ?? "/dev/null", flags, 0o640);
    const status = fstatSync(fd);
    if (status.isFile() || status.isCharacterDevice()) return fd;
    closeSync(fd);
    throw new Error(`${path} is not a regular file`);
  } catch (error) {
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `cannot open the spawn log: ${(error as Error).message}`,
    );
  }
}

/**
 * Opens the log; `-` is standard output. Throws ERR_ARGUMENT if no log can be there, ERR_IN_USE if another
 * server writes to it, ERR_LOG if the system fails.
 */
export function openLog(path: string): Log {
  if (path === "-") return new Log(1);
  try {
    return new Log(path);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const isOutput = /^\/(dev\/stdout|dev\/fd\/1|proc\/(self|thread-self)\/fd\/1)$/.test(path);
    if (isOutput)
      throw new KiloforkError("ERR_ARGUMENT", `--log ${path}: standard output is --log -`);
    const wrong: Record<string, string> = {
      ELOOP: "it is a symbolic link; give the file itself",
      EMEDIUMTYPE: "it is not a regular file; give another --log",
      ENXIO: "it is not a regular file; give another --log",
      EISDIR: "it is a folder; give a file in it",
      EACCES: "no permission; give another --log",
      EPERM: "it belongs to another user; give another --log",
      EMLINK: "it has other names (hard links); give another --log",
    };
    const why =
      error.code === "EAGAIN"
        ? "another server writes to it; stop that or give another --log"
        : wrong[error.code];
    const isWrong = error.code === "ENOENT" || error.code in wrong;
    throw new KiloforkError(
      isWrong ? "ERR_ARGUMENT" : error.code === "EAGAIN" ? "ERR_IN_USE" : "ERR_LOG",
      error.code === "ENOENT"
        ? `the folder of the log ${path} is missing; create ${dirname(path)}`
        : `cannot log to ${path}: ${why ?? error.message}`,
      { cause: error },
    );
  }
}

/** Opens a log, and syncs it and its folder: its name must be on disk before any record. */
export function openSyncedLog(path: string): Log {
  const log = openLog(path);
  try {
    fdatasyncSync(log.fd);
    const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
    return log;
  } catch (error) {
    log.close();
    throw new KiloforkError(
      "ERR_LOG",
      `the log ${path} cannot be synced: ${(error as Error).message}`,
    );
  }
}
