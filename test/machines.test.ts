/** Machines of other kinds: other limits, kernels, networks, terminals and installations. */
import { rmSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { commandPath } from "../src/base/paths";
import { Command } from "./support/command";
import { Server } from "./support/server";

const isRoot = process.getuid?.() === 0;

/** Runs a program in a network namespace of its own, whose accept queues are short. */
const SHORT_QUEUES = [
  ...["unshare", "--net", "sh", "-c"],
  'ip link set lo up && echo 128 >/proc/sys/net/core/somaxconn && exec "$0" "$@"',
];

describe.skipIf(!isRoot)("where net.core.somaxconn is 128", () => {
  test("the accept queue has 128 places, and the server says so", async () => {
    const server = await Server.start({ children: 1, via: SHORT_QUEUES });
    expect(server.scoreboard.header().backlog).toBe(128);
    expect(server.command.stderr).toMatch(
      /^kilofork: the accept queue holds 128 clients instead of 4,096, the value of net.core.somaxconn: .* \(sysctl net.core.somaxconn=4096\)$/m,
    );
    await server.stop();
  });

  test("the demo proves more clients than that: it paces them", async () => {
    const [program = "", ...args] = SHORT_QUEUES;
    const demo = ["demo", "--clients", "300", "--work", "500ms", "--json"];
    const { stdout, code } = await new Command(
      [...args, process.execPath, commandPath, ...demo],
      program,
    ).end();
    const result = JSON.parse(stdout);
    rmSync(result.evidence, { recursive: true });
    expect(result).toMatchObject({ ok: true, concurrent: 300 });
    expect(code).toBe(0);
  });
});
