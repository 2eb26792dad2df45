/** Addresses, as people read them. */

/** `127.0.0.1:31337`, `[::1]:31337`. */
export function whereIs({ address, port }: { address: string; port: number }): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}
