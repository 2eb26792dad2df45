/** The programs and packages that figures need and not every machine has. */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";

/** Why a measurement is not made. It is no failure. */
export class LeftOut extends Error {}

const NEEDED = {
  "Net::Server": {
    isThere: () => runs("perl", "-MNet::Server::PreFork", "-e", "1"),
    name: "Net::Server::PreFork (Debian: libnet-server-perl)",
  },
  go: { isThere: () => runs("go", "version"), name: "go (Debian: golang-go)" },
  python: { isThere: () => runs("python3", "-c", "0"), name: "python3" },
  strace: { isThere: () => runs("strace", "-V"), name: "strace" },
  pino: { isThere: () => resolves("pino"), name: "pino (npm install)" },
  "sonic-boom": { isThere: () => resolves("sonic-boom"), name: "sonic-boom (npm install)" },
} as const;

export type Needed = keyof typeof NEEDED;

const known = new Map<Needed, boolean>();

/** Throws LeftOut, with the name of the package, if it is not installed. */
export function requireInstalled(needed: Needed): void {
  const isThere = known.get(needed) ?? NEEDED[needed].isThere();
  known.set(needed, isThere);
  if (!isThere) throw new LeftOut(`${NEEDED[needed].name} is not installed`);
}

function runs(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}

function resolves(name: string): boolean {
  try {
    createRequire(join(__dirname, "run.cjs")).resolve(name);
    return true;
  } catch {
    return false;
  }
}
