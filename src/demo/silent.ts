/** Clients that connect, are greeted, and never send: connections beside those that are served. */
import { connect, type Socket } from "node:net";

/** Connects that may wait for their greeting at a time: the accept queue holds more. */
const AT_A_TIME = 100;
const GREETED_WITHIN_MS = 10_000;

export class SilentClients {
  private readonly sockets: Socket[] = [];

  /** Resolves when each has been greeted or has failed. */
  static async connect(count: number, address: string, port: number): Promise<SilentClients> {
    const clients = new SilentClients();
    let left = count;
    const connectSome = async () => {
      while (left-- > 0) await clients.add(connect({ host: address, port }));
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, connectSome));
    return clients;
  }

  /** Those that were greeted and whose connections are open on both sides. */
  countOpen(): number {
    return this.sockets.filter(
      ({ bytesRead, readyState }) => bytesRead > 0 && readyState === "open",
    ).length;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  private add(socket: Socket): Promise<void> {
    this.sockets.push(socket);
    return new Promise((resolve) => {
      socket.setTimeout(GREETED_WITHIN_MS, () => socket.destroy());
      socket.once("data", () => {
        socket.setTimeout(0);
        resolve();
      });
      socket.on("error", () => {}); // it closes
      socket.once("close", () => resolve());
    });
  }
}
