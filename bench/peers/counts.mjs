// counts.mjs: measures how many increments a second the workers of node:cluster make to a counter of
// the primary, one message each.
//
// node counts.mjs WORKERS EACH
//
// Prints the increments a second over all workers, from the common start until the primary has
// counted the last one.
import cluster from "node:cluster";
import { once } from "node:events";

// The most messages of a worker that are not sent yet.
const WINDOW = 1000;

const [, , workers, each] = process.argv;

if (cluster.isPrimary) await runPrimary();
else await runWorker();

async function runPrimary() {
  const all = Array.from({ length: Number(workers) }, () => cluster.fork());
  await Promise.all(all.map((worker) => once(worker, "message")));
  const begun = process.hrtime.bigint();
  await Promise.all(
    all.map((worker) => {
      let count = 0;
      const counted = new Promise((resolve) => {
        worker.on("message", () => {
          if (++count === Number(each)) resolve();
        });
      });
      worker.send("go");
      return counted;
    }),
  );
  const nanoseconds = Number(process.hrtime.bigint() - begun);
  console.log(Math.round((workers * each * 1e9) / nanoseconds));
  for (const worker of all) worker.disconnect();
}

async function runWorker() {
  process.send("ready");
  await once(process, "message");
  for (let sent = 0; sent < Number(each); sent += WINDOW)
    await sendMany(Math.min(WINDOW, each - sent));
}

// Done when the last one has left, and so all of them.
function sendMany(count) {
  return new Promise((resolve) => {
    for (let i = 1; i <= count; i++) process.send(1, i === count ? resolve : undefined);
  });
}
