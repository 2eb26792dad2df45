/** The listening socket (native/core/net). */
import { addon } from "./addon";

/** Connections that wait to be accepted, as the kernel counts them. */
export interface ListenQueue {
  readonly waiting: number;
  readonly limit: number;
  /** Handshakes that found it full. */
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

/** Null: no socket listens there, in the network namespace of this process. */
export function listenQueue(address: string, port: number): ListenQueue | null {
  return addon<SocketsAddon>().listenQueue(address, port);
}
