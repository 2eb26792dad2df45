/** Descriptors of this process: proc_pid_fd(5), proc_pid_fdinfo(5). */
import { constants, fstatSync, readdirSync, readlinkSync } from "node:fs";
import { readText } from "./files";

/** False for Node's own epoll and event descriptors: they are neither file nor pipe nor socket. */
export function isOpenForWriting(fd: number): boolean {
  try {
    const status = fstatSync(fd);
    const kinds = [status.isFIFO(), status.isSocket(), status.isFile(), status.isCharacterDevice()];
    return kinds.includes(true) && accessMode(fd) !== constants.O_RDONLY;
  } catch {
    return false;
  }
}

/** Whether this process holds the reading end, too, as Node does of its own pipes. */
export function isOwnPipe(fd: number): boolean {
  const nameOf = (each: number) => {
    try {
      return readlinkSync(`/proc/self/fd/${each}`);
    } catch {
      return "";
    }
  };
  const name = nameOf(fd);
  return (
    name.startsWith("pipe:") &&
    readdirSync("/proc/self/fd").some(
      (each) => nameOf(Number(each)) === name && accessMode(Number(each)) === constants.O_RDONLY,
    )
  );
}

/** O_RDONLY, O_WRONLY or O_RDWR: proc_pid_fdinfo(5). */
function accessMode(fd: number): number {
  const [, flags = ""] = /^flags:\s+([0-7]+)/m.exec(readText(`/proc/self/fdinfo/${fd}`)) ?? [];
  const O_ACCMODE = 3;
  return Number.parseInt(flags, 8) & O_ACCMODE;
}
