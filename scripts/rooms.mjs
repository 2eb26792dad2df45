// The rooms of native/core and their order: a room includes from itself and from rooms before it.
// The linter checks that. A room's sources are the files in its folder; binding.gyp asks for them:
//
//   node scripts/rooms.mjs ROOM…   prints the sources of these rooms, a path a line
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const core = "native/core";

/** In the order in which they build on each other. */
export const rooms = [
  "base",
  "process",
  "net",
  "shm",
  "log",
  "keeper",
  "child",
  "supervisor",
  "load",
];

/** Paths from the root of the project. */
function sourcesOf(room) {
  if (!rooms.includes(room)) throw new Error(`there is no room ${core}/${room}`);
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  return readdirSync(join(root, core, room))
    .filter((name) => name.endsWith(".cpp"))
    .sort()
    .map((name) => `${core}/${room}/${name}`);
}

/** What is wrong with the includes of a file of native code, a line each. */
export function problemsOfIncludes(file, text) {
  const ownRoom = new RegExp(`^${core}/([^/]+)/`).exec(file)?.[1];
  const problems = [];
  for (const [index, line] of text.split("\n").entries()) {
    const included = /^\s*#\s*include\s*"([^"]+)"/.exec(line)?.[1];
    if (included === undefined) continue;
    const room = /^([^/]+)\//.exec(included)?.[1];
    const problem = included.split("/").includes("..")
      ? 'an include has no ".."'
      : ownRoom === undefined
        ? room !== undefined && !rooms.includes(room) && `there is no room ${room}`
        : room === undefined || !rooms.includes(room)
          ? `write "room/file.hpp", the room one of ${rooms.join(", ")}`
          : rooms.indexOf(room) > rooms.indexOf(ownRoom) && `${ownRoom} must not build on ${room}`;
    if (problem) problems.push(`${file}:${index + 1}: "${included}": ${problem}`);
  }
  return problems;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const room of process.argv.slice(2)) process.stdout.write(`${sourcesOf(room).join("\n")}\n`);
}
