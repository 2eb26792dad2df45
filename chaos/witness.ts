/** A client on one connection at a time that keeps the number of every message it had a reply to. */
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProcessPer } from "../src/base/protocol";
import type { Batch } from "./batch";

const BETWEEN_REQUESTS_MS = 100;
const BETWEEN_CONNECTIONS_MS = 50;

export class Witness {
  private sent = 0;
  private repliedTwice = 0;
  private stopping = false;
  private hangUp = () => {};
  private readonly reply: RegExp;
  private readonly answered = new Set<string>();
  private readonly failures: Record<string, number> = {};
  private readonly problems: string[] = [];

  constructor(
    private readonly name: string,
    private readonly port: number,
    private readonly patienceMs: number,
    private readonly processPer: ProcessPer,
  ) {
    this.reply = new RegExp(`^server (\\d+) recvd message "${name} (\\d+)" from user arijort$`);
  }

  async run(): Promise<Batch> {
    for (; !this.stopping; await sleep(BETWEEN_CONNECTIONS_MS)) await this.converse();
    const { name, sent, answered, failures, repliedTwice, problems } = this;
    return { name, sent, verified: answered.size, answered, failures, repliedTwice, problems };
  }

  stop(): void {
    this.stopping = true;
    this.hangUp();
  }

  /** Connects and sends one request after the other. Resolves when the connection has closed. */
  private converse(): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ port: this.port, host: "127.0.0.1" });
      let pid = "";
      let pending = ""; // the number of the request in flight
      let text = "";
      let pause: NodeJS.Timeout | undefined;
      const send = () => {
        pending = String(++this.sent);
        socket.write(`arijort:${this.name} ${pending}\n`);
      };
      const fail = (kind: string) => {
        this.failures[kind] = (this.failures[kind] ?? 0) + 1;
        pending = "";
      };
      const isServer = (by?: string) =>
        this.processPer === "request" ? by !== undefined : by === pid;
      const hear = (line: string) => {
        const [, greeter] = /^this is server thread (\d+)$/.exec(line) ?? [];
        const [, by, number = ""] = this.reply.exec(line) ?? [];
        if (greeter && pid === "") {
          pid = greeter;
          send();
        } else if (isServer(by) && number === pending && pending !== "") {
          this.answered.add(number);
          pending = "";
          pause = setTimeout(send, BETWEEN_REQUESTS_MS);
        } else if (/^error [a-z-]+: /.test(line)) {
          fail(pid === "" ? "refused at once" : "refused");
          pid ||= "nobody";
        } else if (this.answered.has(number)) {
          this.repliedTwice++;
        } else {
          this.problems.push(
            `${this.name}: got ${JSON.stringify(line)}, not a reply to ${pending}`,
          );
        }
      };
      this.hangUp = () => {
        pending = ""; // it may still be handled
        socket.destroy();
      };
      socket.setTimeout(this.patienceMs, () => {
        this.problems.push(`${this.name}: nothing came for ${this.patienceMs} ms`);
        fail("timeout");
        socket.destroy();
      });
      socket.on("data", (data) => {
        const lines = (text + data).split("\n");
        text = lines.pop() ?? "";
        lines.forEach(hear);
      });
      socket.on("error", () => {});
      socket.on("close", () => {
        clearTimeout(pause);
        if (pending !== "") fail("lost");
        else if (pid === "" && !this.stopping) fail("connect");
        resolve();
      });
    });
  }
}
