/** Host names, resolved here and not in native code: see docs/operations.md. */
import { lookup } from "node:dns/promises";
import { misused } from "./errors";

/** All addresses of a host, in the order in which the system prefers them. */
export async function resolveHost(host: string): Promise<string[]> {
  try {
    const found = await lookup(host, { all: true, verbatim: true });
    return [...new Set(found.map(({ address }) => address))];
  } catch (error) {
    throw misused(
      `cannot resolve the host "${host}": ${(error as { code?: string }).code ?? error}`,
    );
  }
}
