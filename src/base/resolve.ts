/** Resolves host names; native code gets numeric addresses: see docs/operations.md. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { KiloforkError } from "./errors";

/** All addresses of a host, in the order in which the system prefers them. */
export async function resolveHost(host: string): Promise<string[]> {
  try {
    const found = await lookup(host, { all: true, verbatim: true });
    return [...new Set(found.map(({ address }) => address))];
  } catch (error) {
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `cannot resolve the host "${host}": ${(error as { code?: string }).code ?? error}`,
    );
  }
}

/** The addresses that can be reached from a numeric local address: those of its family. */
export function likeOurs(addresses: readonly string[], ours: string): string[] {
  const family = isIP(ours);
  if (family === 0)
    throw new KiloforkError("ERR_ARGUMENT", `--from "${ours}" is not a numeric address`);
  const found = addresses.filter((address) => isIP(address) === family);
  if (found.length === 0)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `--from ${ours}: the server has no address of that kind (IPv${family})`,
    );
  return found;
}
