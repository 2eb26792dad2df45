// record.mjs: the append-only log of the Node.js peers. One record is one writeSync on a descriptor
// opened with O_APPEND.
import { openSync, writeSync } from "node:fs";
import { performance } from "node:perf_hooks";

/** Returns a function that writes a record of a text. */
export function openLog(path) {
  const file = openSync(path, "a");
  return (text) => void writeSync(file, `${timestamp()} -- ${text}\n`, null, "latin1");
}

// Local time with nanosecond digits; the text of the second is kept.
export function timestamp() {
  const now = performance.timeOrigin + performance.now();
  const second = Math.floor(now / 1000);
  if (second !== timestamp.second) {
    const date = new Date(second * 1000);
    const two = (value) => String(value).padStart(2, "0");
    timestamp.second = second;
    timestamp.text =
      `${date.getFullYear()}.${two(date.getMonth() + 1)}.${two(date.getDate())} ` +
      `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  }
  const nanoseconds = Math.floor((now - second * 1000) * 1e6);
  return `${timestamp.text}.${String(nanoseconds).padStart(9, "0")}`;
}
