/** A TCP proxy that cuts the streams into segments where the test says, as a network may. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { sum } from "../../src/base/numbers";

/** Returns the first cut after `position`, in one direction of a connection. */
export type Cuts = (position: number) => number;

export const everyByte: Cuts = (position) => position + 1;
/** Cuts once, and forwards the rest as it comes. */
export const onlyAt =
  (cut: number): Cuts =>
  (position) =>
    position < cut ? cut : Number.POSITIVE_INFINITY;
/** Makes segments of these lengths, repeatedly. */
export function lengths(sizes: readonly number[]): Cuts {
  const whole = sum(sizes);
  return (position) => {
    let cut = position - (position % whole);
    for (const size of sizes) {
      cut += size;
      if (cut > position) break;
    }
    return cut;
  };
}

export interface ProxyOptions {
  /** The cuts of the n-th connection, from 0. */
  readonly cuts: (connection: number) => { readonly up: Cuts; readonly down: Cuts };
  /** The pause after each segment, in which the receiver may read it. */
  readonly pauseMs?: number;
}

/** Bytes before the next cut are held back for this long, to be merged with more. */
const HOLD_MS = 2;

export class CuttingProxy {
  private connections = 0;
  private readonly sockets: Socket[] = [];

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async start(target: number, { cuts, pauseMs = 0 }: ProxyOptions): Promise<CuttingProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const proxy = new CuttingProxy(server, (server.address() as AddressInfo).port);
    server.on("connection", (near) => {
      const { up, down } = cuts(proxy.connections++);
      const far = connect({
        port: target,
        host: "127.0.0.1",
        allowHalfOpen: true,
        noDelay: true,
      });
      proxy.sockets.push(near, far);
      for (const [from, to, where] of [
        [near, far, up],
        [far, near, down],
      ] as const) {
        from.on("error", () => to.destroy());
        forward(from, to, where, pauseMs).catch(() => to.destroy());
      }
    });
    return proxy;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }
}

async function forward(from: Socket, to: Socket, cuts: Cuts, pauseMs: number): Promise<void> {
  let held = Buffer.alloc(0);
  let position = 0; // in the stream, of what is held
  let ended = false;
  let wake = () => {};
  from.on("data", (data) => {
    held = Buffer.concat([held, data]);
    wake();
  });
  from.on("end", () => {
    ended = true;
    wake();
  });
  const more = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  while (held.length > 0 || !ended) {
    if (held.length === 0) {
      await more();
      continue;
    }
    const cut = cuts(position) - position;
    if (cut > held.length && !ended) {
      const before = held.length;
      await Promise.race([more(), sleep(HOLD_MS)]);
      if (held.length > before) continue;
    }
    const segment = held.subarray(0, Math.min(cut, held.length));
    held = held.subarray(segment.length);
    position += segment.length;
    await new Promise<void>((resolve, reject) =>
      to.write(segment, (error) => (error ? reject(error) : resolve())),
    );
    if (pauseMs > 0) await sleep(pauseMs);
  }
  to.end();
}
