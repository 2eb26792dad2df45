/** Whether a server has written its log: a server that writes less is no peer. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { ServerName } from "../servers/names";

/** Throws unless the log has two records of each request. */
export async function requireRecords(
  name: ServerName,
  log: string,
  requests: number,
): Promise<void> {
  if (name === "bare") return;
  const [received, completed] = [
    await count(" recvd message ", log),
    await count(" completed req ", log),
  ];
  if (received !== requests || completed !== requests)
    throw new Error(`its log has ${received} recvd and ${completed} completed of ${requests}`);
}

async function count(text: string, file: string): Promise<number> {
  const env = { ...process.env, LC_ALL: "C" };
  const counted = promisify(execFile)("grep", ["-cF", text, file], { env });
  // grep fails if it finds none.
  const { stdout } = await counted.catch((error: { stdout: string }) => error);
  return Number(stdout);
}
