/** The users file: one name a line, `#` begins a comment. */
import { readFileSync } from "node:fs";
import { misused } from "../errors";
import { problemOfUser } from "../protocol";

/** How many names the shared memory has room for. */
export const MOST_USERS = 4096;

export function readUsers(file: string): string[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw misused(`cannot read the users file: ${(error as Error).message}`);
  }
  return parseUsers(text, file);
}

export function parseUsers(text: string, file: string): string[] {
  const names = new Set<string>();
  for (const [index, line] of text.split("\n").entries()) {
    const name = line.replace(/#.*/, "").trim();
    if (name === "") continue;
    const problem = problemOfUser(name);
    if (problem) throw misused(`${file}, line ${index + 1}: the name "${name}" ${problem}`);
    names.add(name);
  }
  if (names.size === 0) throw misused(`${file} names no user`);
  if (names.size > MOST_USERS)
    throw misused(`${file} names ${names.size} users, allowed are ${MOST_USERS}`);
  return [...names];
}
