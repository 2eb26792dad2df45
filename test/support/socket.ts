/** A TCP client that keeps what it receives, byte for byte. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { processPer } from "./command";
import { until } from "./wait";

export class RawClient {
  received = Buffer.alloc(0);
  ended = false;
  error: string | undefined;
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.socket.on("data", (data) => {
      this.received = Buffer.concat([this.received, data]);
    });
    this.socket.on("end", () => {
      this.ended = true;
    });
    this.socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error = error.code;
      this.ended = true;
    });
  }

  /** Connects. Resolves when the server has greeted. */
  static async greeted(port: number): Promise<RawClient> {
    const client = new RawClient(port);
    await client.lines(1);
    return client;
  }

  /** The pid in the greeting: of its child, or of the keeper. */
  get greeter(): number {
    return Number(/^this is server thread (\d+)\n/.exec(this.text)?.[1]);
  }

  /** The pid of its child; with a process for each request, of the one that sent the first reply. */
  get pid(): number {
    return processPer === "request" ? Number(/^server (\d+) /m.exec(this.text)?.[1]) : this.greeter;
  }

  get text(): string {
    return this.received.toString("latin1");
  }

  /** Sends latin1 text: one byte a character. */
  send(text: string): void {
    this.socket.write(Buffer.from(text, "latin1"));
  }

  /** Ends the sending side. */
  finish(): void {
    this.socket.end();
  }

  async lines(count: number): Promise<string[]> {
    await until(
      `${count} lines have come`,
      () => this.ended || this.text.split("\n").length > count,
    );
    return this.text.split("\n").slice(0, -1);
  }

  /** All that comes until the server ends its side. */
  async rest(): Promise<string> {
    await until("the server has closed", () => this.ended);
    return this.text;
  }

  async close(): Promise<void> {
    if (this.socket.destroyed) return;
    this.socket.destroy();
    await once(this.socket, "close");
  }

  /** Closes with a reset, as the kernel does for a client that crashed. */
  reset(): void {
    this.socket.resetAndDestroy();
  }
}
