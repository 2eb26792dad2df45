/** TCP ports of this machine. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/** A free port: of those that `choose` returns, or else one that the system chooses. */
export async function freePort(choose = () => 0): Promise<number> {
  for (;;) {
    const server = createServer().listen(choose(), "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    return port;
  }
}
