#!/usr/bin/env node
require("./run.cjs").run(["client", ...process.argv.slice(2)]);
