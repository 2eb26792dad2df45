#!/usr/bin/env node
require("./run.cjs").run(["serve", ...process.argv.slice(2)]);
