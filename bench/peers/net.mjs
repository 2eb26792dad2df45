// net.mjs: the same service as a single node:net process, for comparison: an event loop instead of
// a process for each connection. It ends on SIGTERM and SIGINT.
//
// node net.mjs [PORT [PROCESSES [WORK_MS [BACKLOG [LOGFILE]]]]], PROCESSES having no meaning
import { readSettings, startService } from "./service.mjs";

const REPORT_MS = 2000;

const settings = readSettings();
const { port, logRecord } = settings;
const service = startService(settings, () =>
  console.log(`Running with 1 process on host:port localhost:${port}`),
);
let reported = 0;

function reportTotal() {
  if (service.handled !== reported) logRecord(`total requests ${service.handled}`);
  reported = service.handled;
}

function stop() {
  reportTotal();
  process.exit();
}

process.on("SIGTERM", stop);
process.on("SIGINT", stop);
setInterval(reportTotal, REPORT_MS);
