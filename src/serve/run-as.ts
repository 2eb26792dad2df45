/** `--run-as USER[:GROUP]`: names or numbers. */
import { execFileSync } from "node:child_process";
import { KiloforkError } from "../base/errors";
import { readText } from "../machine/files";

/** Throws ERR_ARGUMENT. */
export function parseRunAs(text: string): { uid: number; gid: number } {
  if (process.getuid?.() !== 0)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `--run-as ${text}: only the superuser can become another user`,
    );
  const [user = "", group, ...rest] = text.split(":");
  if (user === "" || group === "" || rest.length > 0)
    throw new KiloforkError("ERR_ARGUMENT", `--run-as "${text}": write USER or USER:GROUP`);
  const uid = ask("id", "-u", "--", user) ?? number(user);
  const gid =
    group === undefined ? ask("id", "-g", "--", user) : (groupNamed(group) ?? number(group));
  if (uid === undefined)
    throw new KiloforkError("ERR_ARGUMENT", `--run-as: there is no user "${user}"`);
  if (gid === undefined)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      group === undefined
        ? `--run-as: user "${user}" has no group; write ${user}:GROUP`
        : `--run-as: there is no group "${group}"`,
    );
  return { uid, gid };
}

/** For messages: its name, or `uid 54321`. */
export function nameOfUser(uid: number): string {
  const [name = ""] = readText("/etc/passwd")
    .split("\n")
    .map((entry) => entry.split(":"))
    .filter(([, , id]) => id === String(uid))
    .map(([first = ""]) => first);
  return name || `uid ${uid}`;
}

/** In /proc/self/status, by the number of their bits: capabilities(7). */
const NEEDED_CAPABILITIES = { CAP_CHOWN: 0n, CAP_SETGID: 6n, CAP_SETUID: 7n };

/** Throws ERR_START if this process may not become another user. */
export function requireCapabilities(status = readText("/proc/self/status")): void {
  const [, mask] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  if (mask === undefined) return;
  const missing = Object.entries(NEEDED_CAPABILITIES)
    .filter(([, bit]) => ((BigInt(`0x${mask}`) >> bit) & 1n) === 0n)
    .map(([name]) => name);
  if (missing.length > 0)
    throw new KiloforkError(
      "ERR_START",
      `--run-as needs ${Object.keys(NEEDED_CAPABILITIES).join(", ")}; missing: ${missing.join(", ")} (systemd: CapabilityBoundingSet=, docker: --cap-add)`,
    );
}

/** Undefined if there is no such group. */
function groupNamed(name: string): number | undefined {
  try {
    const entry = execFileSync("getent", ["group", "--", name], { encoding: "utf8" });
    return Number(entry.split(":")[2]);
  } catch {
    return undefined;
  }
}

/** Runs a command that prints a number; undefined if it fails. */
function ask(command: string, ...args: string[]): number | undefined {
  try {
    return Number(
      execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
    );
  } catch {
    return undefined;
  }
}

function number(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}
