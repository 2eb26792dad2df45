// The rooms of src, in the order in which they build on each other: a room imports from itself and
// from rooms before it, types included. `npm run lint` checks it.

const rooms = [
  "base",
  "report",
  "command",
  "native",
  "machine",
  "log",
  "serve",
  "status",
  "client",
  "audit",
  "repair",
  "ctl",
  "harness",
  "demo",
  "limit",
];

/** A room must not import from a later one, nor from the files that assemble them all. */
const upward = rooms.map((room, index) => ({
  name: `${room}-builds-on-rooms-before-it`,
  severity: "error",
  from: { path: `^src/${room}/` },
  to: { path: `^src/(?:(?:${[...rooms.slice(index + 1), "-"].join("|")})/|[^/]+$)` },
}));

module.exports = {
  forbidden: [
    ...upward,
    {
      name: "room-is-listed",
      comment: "A new folder of src needs a place in the list of rooms.",
      severity: "error",
      from: { path: "^src/[^/]+/", pathNot: `^src/(?:${rooms.join("|")})/` },
      to: {},
    },
    {
      name: "no-circle",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "exit-codes-and-options-in-commands-only",
      comment: "What serves others than the command line knows no exit code and no option.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(?:command/|cli\\.ts$|[^/]+/command\\.ts$)" },
      to: { path: "^src/command/" },
    },
    {
      name: "commands-are-assembled-in-cli-only",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/cli\\.ts$" },
      to: { path: "^src/[^/]+/command\\.ts$" },
    },
    {
      name: "src-stands-alone",
      comment: "The shipped program uses no benchmark, no test, and no script.",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^(?:bench|chaos|test|scripts)/" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
  },
};
