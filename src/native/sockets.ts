/** The listening socket (native/core/net). */
import { addon } from "./addon";

/** The accept queue of a socket, as the kernel counts it: sock_diag(7). */
export interface ListenQueue {
  readonly waiting: number;
  readonly limit: number;
  /** Handshakes that found the queue full, since listen(2). */
  readonly dropped: number;
}

export interface ListenOptions {
  /** Numeric. */
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  readonly backlog: number;
  readonly writeTimeoutMs: number;
}

interface SocketsAddon {
  listen(options: ListenOptions): { fd: number; port: number };
  listenQueue(address: string, port: number): ListenQueue | null;
}

/** The caller closes the descriptor. */
export function listen(options: ListenOptions): { fd: number; port: number } {
  return addon<SocketsAddon>().listen(options);
}

/** Null if no socket of this network namespace listens there. */
export function listenQueue(address: string, port: number): ListenQueue | null {
  return addon<SocketsAddon>().listenQueue(address, port);
}
