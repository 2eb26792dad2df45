/** How long a program of Node.js takes to start. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { commandPath } from "../../src/base/paths";
import { MESSAGE } from "./load";

const CONNECTS_WITHIN_MS = 30_000;

/** Milliseconds until the first connection of `kilofork client` is accepted. */
export async function clientStart(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const accepted = once(server, "connection", { signal: AbortSignal.timeout(CONNECTS_WITHIN_MS) });
  const args = [commandPath, "client", "127.0.0.1", String(port), "1", MESSAGE];
  const begun = performance.now();
  const client = spawn(process.execPath, args, { stdio: "ignore" });
  const ended = once(client, "exit");
  try {
    const [socket] = await accepted;
    const took = performance.now() - begun;
    socket.destroy();
    return took;
  } finally {
    client.kill();
    await ended;
    server.close();
  }
}

/** Milliseconds of `node -e 0`: the start of any program of Node.js. */
export async function nodeStart(): Promise<number> {
  const begun = performance.now();
  await once(spawn(process.execPath, ["-e", "0"], { stdio: "ignore" }), "exit");
  return performance.now() - begun;
}
