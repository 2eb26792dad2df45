/** Where the bench runs: a temporary folder, the servers that run now, and the notes of a figure. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireRoomForClients } from "./capacity";
import { launch, type Running } from "./launch";
import { isKilofork, LABELS, type ServerName } from "./names";
import { Programs } from "./programs";
import { requireMachineFor, type Setting, startServerOf } from "./servers";

export class Harness {
  private readonly folder = mkdtempSync(join(tmpdir(), "kilofork-bench-"));
  readonly programs = new Programs(this.folder);
  /** What a reader of the present figure must know besides its values. */
  readonly notes = new Set<string>();
  private isInterrupted = false;
  private logs = 0;
  private removed = 0;
  private readonly running = new Set<Running>();

  newLog(): string {
    return join(this.folder, `${++this.logs}.log`);
  }

  /** Logs may be large. */
  removeLogs(): void {
    for (; this.removed < this.logs; this.removed++)
      rmSync(join(this.folder, `${this.removed + 1}.log`), { force: true });
  }

  /** Ends the servers, so that the present measurement fails soon. */
  interrupt(): void {
    this.isInterrupted = true;
    void this.endAll();
  }

  throwIfInterrupted(): void {
    if (this.isInterrupted) throw new Error("interrupted");
  }

  /** Ends the servers that a failed measurement left running, by force if need be. */
  async endAll(): Promise<void> {
    await Promise.allSettled([...this.running].map((server) => server.stop()));
  }

  /** Ends all servers and deletes the folder. */
  async close(): Promise<void> {
    await this.endAll();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Throws LeftOut if the machine lacks what the server needs. */
  async start(name: ServerName, setting: Setting): Promise<Running> {
    requireMachineFor(name, setting);
    const server = await startServerOf(name, setting, this.programs, this.newLog());
    return this.track(server, name);
  }

  /** Opens connections that send nothing, each after the one before. `stop` closes them. */
  async connectSilently({ port }: Running, connections: number): Promise<Running> {
    requireRoomForClients(connections);
    const argv = [this.programs.hold, "connect", String(port), String(connections)];
    return this.track(await launch(argv, port, ""), "hold");
  }

  private track(server: Running, name: ServerName): Running {
    const tracked = {
      ...server,
      stop: async () => {
        this.running.delete(tracked);
        await server.stop().catch((error: Error) => {
          if (isKilofork(name)) throw error;
          this.notes.add(`${LABELS[name]}: ${error.message}`);
        });
      },
    };
    this.running.add(tracked);
    this.throwIfInterrupted();
    return tracked;
  }
}
