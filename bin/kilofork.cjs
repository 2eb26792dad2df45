#!/usr/bin/env node
// What each command runs first: takes the signals that must not wait until the program is loaded.
const early = new Set();
process.on("SIGUSR1", () => early.add("SIGUSR1")); // without a handler, Node opens its debugger
const { existsSync } = require("node:fs");
const inspector = require("node:inspector");
const { join } = require("node:path");

const ignored = (process.env.KILOFORK_IGNORED ?? "").split(" ").filter((name) => name !== "");
for (const signal of ignored) process.on(signal, () => {}); // Node has set the default action

const argv = process.argv.slice(2);
// Signals that are orders to a server, and come too early, are its first orders.
if (argv[0] === "serve")
  for (const signal of ["SIGHUP", "SIGUSR2"]) process.on(signal, () => early.add(signal));
closeDebugger();
// Node opens it twice for one signal: at once, and in its event loop.
setImmediate(closeDebugger);
for (const ms of [10, 100, 1000]) setTimeout(closeDebugger, ms).unref();
load()
  ?.main(argv, early)
  .then((code) => {
    process.exitCode = code;
  });

/** The program; undefined, after a message, in a clone that is not built. */
function load() {
  const program = join(__dirname, "../dist/kilofork.cjs");
  if (existsSync(program)) return require(program);
  process.stderr.write("kilofork: it is not built yet: npm install\n");
  process.exitCode = 1;
}

/** Closes Node's debugger if a signal has opened it, before this file was loaded, and no option. */
function closeDebugger() {
  const options = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)];
  const isWanted = options.some((option) => /^--inspect(-brk|-wait)?(=|$)/.test(option));
  if (inspector.url() && !isWanted) inspector.close();
}
