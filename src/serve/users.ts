/** The users file: one name a line, `#` begins a comment. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { KiloforkError } from "../base/errors";
import { printable } from "../base/printable";
import { problemOfUser } from "../base/protocol";

/** The number of names that the shared memory has room for. */
export const MOST_USERS = 4096;

/** Throws ERR_ARGUMENT if the file cannot be used. */
export function readUsers(file: string): string[] {
  let text: string;
  try {
    text = readOwn(file);
  } catch (error) {
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `cannot read the users file: ${(error as Error).message}`,
    );
  }
  return parseUsers(text, file);
}

/**
 * Rejects a file that group or others can write, or that belongs to another user; and whatever is no
 * regular file, without waiting for it: a fifo may never have a writer, or never an end.
 */
function readOwn(file: string): string {
  const OTHERS_MAY_WRITE = 0o022;
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const status = fstatSync(fd);
    const { mode, uid } = status;
    if (!status.isFile()) throw new Error(`${file} is not a regular file`);
    if (mode & OTHERS_MAY_WRITE) throw new Error(`others may write to ${file}: chmod go-w`);
    if (uid !== 0 && uid !== process.getuid?.()) throw new Error(`${file} belongs to another user`);
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

export function parseUsers(text: string, file: string): string[] {
  const names = new Set<string>();
  for (const [index, line] of text.split("\n").entries()) {
    const name = line.replace(/#.*/, "").trim();
    if (name === "") continue;
    const problem = problemOfUser(name);
    if (problem)
      throw new KiloforkError(
        "ERR_ARGUMENT",
        `${file}, line ${index + 1}: the name "${printable(name)}" ${problem}`,
      );
    names.add(name);
  }
  if (names.size === 0) throw new KiloforkError("ERR_ARGUMENT", `${file} names no user`);
  if (names.size > MOST_USERS)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `${file} names ${names.size} users, allowed are ${MOST_USERS}`,
    );
  return [...names];
}

/** Names the first three: `ann, bob, eve and 4 more`. */
export function nameSome(users: readonly string[]): string {
  const SOME = 3;
  const rest = users.length - SOME;
  return users.slice(0, SOME).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
