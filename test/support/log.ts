/** Writes the records of a log. */

export const T = "2026.11.22 16:44:5";
/** A record at 16:44:5s.nnn. */
export const at = (second: number, text: string) => `${T}${second.toFixed(9)} -- ${text}\n`;
export const received = (second: number, pid: number, message = "m") =>
  at(second, `server ${pid} recvd message "${message}" from user arijort`);
export const completed = (second: number, pid: number, count: number, message = "m") =>
  at(second, `completed req "${message}" on ${pid} total reqs ${count}`);
export const init =
  at(0, "Server init") + at(0, "front 9 at 127.0.0.1:31337, kilofork 0.1.0, UTC+01:00");
export const births = (...pids: number[]) =>
  pids.map((pid) => at(0, `have child pid ${pid}`)).join("");
export const stop = (total: number) => at(9, `total requests ${total}`) + at(9, "Server stop");
