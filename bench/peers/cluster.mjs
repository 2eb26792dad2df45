// cluster.mjs: the same service on node:cluster, for comparison.
//
// The primary forks K workers, each of which runs the service of service.mjs. A worker counts by
// itself and tells the primary every two seconds and at its end. Connections go round robin
// (the default on Linux). A worker that ends without an order ends the server.
//
// node cluster.mjs [PORT [WORKERS [WORK_MS [BACKLOG [LOGFILE]]]]]
import cluster from "node:cluster";
import { availableParallelism } from "node:os";
import { fail, readSettings, startService } from "./service.mjs";

const REPORT_MS = 2000;

const settings = readSettings();
if (cluster.isPrimary) runPrimary(settings);
else runWorker(settings);

function runPrimary({ port, processes, logRecord }) {
  const workers = processes || availableParallelism();
  const counts = new Map();
  let listening = 0;
  let running = workers;
  let reported = 0;
  let stopping = false;

  function reportTotal() {
    let total = 0;
    for (const count of counts.values()) total += count;
    if (total !== reported) logRecord(`total requests ${total}`);
    reported = total;
  }

  function stop() {
    stopping = true;
    for (const worker of Object.values(cluster.workers)) worker.process.kill("SIGTERM");
  }

  cluster.on("message", (worker, count) => counts.set(worker.id, count));
  cluster.on("listening", () => {
    if (++listening === workers) {
      console.log(`Running with ${workers} workers on host:port localhost:${port}`);
    }
  });
  cluster.on("exit", (worker, code, signal) => {
    running -= 1;
    if (!stopping) {
      fail(`worker ${worker.process.pid} ended: ${signal ?? `exit ${code}`}`);
      process.exitCode = 1;
      stop();
    }
    if (running === 0) {
      reportTotal();
      process.exit();
    }
  });
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);

  for (let i = 0; i < workers; i += 1) cluster.fork();
  setInterval(reportTotal, REPORT_MS);
}

// Ends by itself when the primary is gone: node:cluster sees to that.
function runWorker(settings) {
  const service = startService(settings);
  let told = 0;

  function tellCount(done) {
    if (service.handled === told) return done?.();
    told = service.handled;
    process.send(told, done);
  }

  function stop() {
    tellCount(() => process.exit(0));
  }

  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  setInterval(tellCount, REPORT_MS);
}
