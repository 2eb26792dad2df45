/** Resolves host names; native code gets numeric addresses: see docs/operations.md. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { KiloforkError } from "./errors";

/** Returns all addresses of a host, in the system's order of preference. Throws ERR_ARGUMENT. */
export async function resolveHost(host: string): Promise<string[]> {
  // inet_aton(3) takes 31337 for 0.0.122.105.
  if (/^\d+$/.test(host))
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `"${host}" is a number, and no host: write the host before the port, as in localhost ${host}`,
    );
  try {
    const found = await lookup(withoutBrackets(host), { all: true, verbatim: true });
    return [...new Set(found.map(({ address }) => address))];
  } catch (error) {
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `cannot resolve the host "${host}": ${(error as { code?: string }).code ?? error}`,
    );
  }
}

/** `::1`, of `[::1]` as addresses are shown. */
function withoutBrackets(host: string): string {
  const [, inner = ""] = /^\[(.*)\]$/.exec(host) ?? [];
  return isIP(inner) === 6 ? inner : host;
}

/**
 * Returns a numeric local address, and the addresses that can be reached from it: those of its
 * family. Throws ERR_ARGUMENT if there are none.
 */
export function reachableFrom(
  given: string,
  addresses: readonly string[],
): { readonly from: string; readonly addresses: string[] } {
  const from = withoutBrackets(given);
  const family = isIP(from);
  if (family === 0)
    throw new KiloforkError("ERR_ARGUMENT", `--from "${given}" is not a numeric address`);
  const found = addresses.filter((address) => isIP(address) === family);
  if (found.length === 0)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `--from ${given}: the server has no address of that kind (IPv${family})`,
    );
  return { from, addresses: found };
}
