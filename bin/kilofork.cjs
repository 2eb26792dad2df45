#!/usr/bin/env node
require("./run.cjs").run(process.argv.slice(2));
