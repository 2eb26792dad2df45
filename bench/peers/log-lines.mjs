// log-lines.mjs: how many lines a second several Node.js processes write to one file.
//
//   node log-lines.mjs pino|sonic-boom sync|gather PROCESSES EACH FILE
//
// sync: one write a line. gather: lines are held until there are 4096 bytes, as the manual of pino
// advises for speed; held lines are lost with the process. pino writes lines of its own form,
// sonic-boom the records of record.mjs.
//
// Prints the lines a second over all processes, from the common start to the end of the last one. It
// counts the lines afterwards, and fails if some are missing.
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { timestamp } from "./record.mjs";

const GATHERED_BYTES = 4096;
// In one turn of the event loop, when lines are gathered.
const LINES_A_TURN = 100;

const [, , library, mode, processes, each, path] = process.argv;
// Nanoseconds of a clock that all processes share.
const now = () => Number(process.hrtime.bigint());
const message = (i) => `server ${process.pid} recvd message "lalala ${i}" from user arijort`;

if (process.send) await runWriter();
else await runParent();

async function runParent() {
  const writers = Array.from({ length: Number(processes) }, () =>
    fork(fileURLToPath(import.meta.url), process.argv.slice(2)),
  );
  await Promise.all(writers.map((writer) => once(writer, "message")));
  const begun = now();
  const ends = await Promise.all(
    writers.map((writer) => {
      writer.send("go");
      return once(writer, "message");
    }),
  );
  const ended = Math.max(...ends.map(([time]) => time));
  const lines = readFileSync(path).reduce((count, byte) => count + (byte === 10 ? 1 : 0), 0);
  if (lines !== processes * each) throw new Error(`only ${lines} lines`);
  console.log(Math.round((lines * 1e9) / (ended - begun)));
}

// Reports when its last line is in the file.
async function runWriter() {
  const { file, write } = await openWriter();
  process.send("ready");
  await once(process, "message");
  for (let i = 0; i < Number(each); i++) {
    write(i);
    if (mode === "gather" && i % LINES_A_TURN === 0) await nextTurn();
  }
  file.end();
  await once(file, "close");
  process.send(now(), () => process.disconnect());
}

async function openWriter() {
  const sync = mode === "sync";
  const options = { dest: path, sync, minLength: sync ? 0 : GATHERED_BYTES };
  if (library === "pino") {
    const { default: pino } = await import("pino");
    const file = pino.destination(options);
    const log = pino(file);
    return { file, write: (i) => log.info(message(i)) };
  }
  const { default: SonicBoom } = await import("sonic-boom");
  const file = new SonicBoom(options);
  return { file, write: (i) => file.write(`${timestamp()} -- ${message(i)}\n`) };
}
