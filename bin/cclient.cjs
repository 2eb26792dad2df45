#!/usr/bin/env node
process.on("SIGUSR1", () => {}); // at once: without a handler, Node opens its debugger
require("../dist/kilofork.cjs")
  .main(["client", ...process.argv.slice(2)])
  .then((code) => {
    process.exitCode = code;
  });
