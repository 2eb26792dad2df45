/** Machines of other kinds: other limits, kernels, networks, terminals and installations. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { constants, release } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { commandPath } from "../src/base/paths";
import { processes, temporaryFolder } from "./support/cleanup";
import { Command, run } from "./support/command";
import { births, completed, init, received, stop } from "./support/log";
import { Server } from "./support/server";
import { runOnTerminal } from "./support/terminal";
import { until } from "./support/wait";

const isRoot = process.getuid?.() === 0;

/** Runs a program in a network namespace of its own, whose accept queues are short. */
const SHORT_QUEUES = [
  ...["unshare", "--net", "sh", "-c"],
  'ip link set lo up && echo 128 >/proc/sys/net/core/somaxconn && exec "$0" "$@"',
];

/** Runs a program from which these calls are taken away, with this error: seccomp(2). */
const refusing = (errno: number, ...calls: number[]) => [
  ...["python3", "-c"],
  `
import ctypes, os, sys
from struct import pack
errno, *calls = map(int, sys.argv[1].split(","))
load, unless_equal, end = 0x20, 0x15, 0x06
program = pack("HBBI", load, 0, 0, 0)
for call in calls:
    program += pack("HBBI", unless_equal, 0, 1, call) + pack("HBBI", end, 0, 0, 0x50000 | errno)
program += pack("HBBI", end, 0, 0, 0x7fff0000)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("statements", ctypes.c_char_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(program) // 8, program))) == 0
os.execvp(sys.argv[2], sys.argv[2:])
`,
  [errno, ...calls].join(","),
];
// Of x86-64 and arm64.
const CLOSE_RANGE = 436;
const EPOLL_PWAIT2 = 441;
const PIDFD_OPEN = 434;

describe.skipIf(process.env.KILOFORK_UNFILTERED)("without calls newer than Linux 4.18", () => {
  test.each(["ENOSYS", "EINVAL", "EPERM"] as const)(
    "which fail with %s, server and client work",
    async (name) => {
      const via = refusing(constants.errno[name], CLOSE_RANGE, EPOLL_PWAIT2, PIDFD_OPEN);
      const server = await Server.start({ children: 5, via });
      const [program = "", ...args] = via;
      const client = ["127.0.0.1", String(server.port), "5", "arijort:m", "--requests", "3"];
      const { stdout, stderr, code } = await new Command(
        [...args, process.execPath, commandPath, "client", ...client],
        program,
      ).end();
      expect(stdout + stderr).toContain("15 verified   0 failed");
      expect(code).toBe(0);
      await server.stop();
    },
  );
});

/** In a network namespace of its own, whose loopback has a link-local address, too. */
const LINK_LOCAL = [
  ...["unshare", "--net", "--mount", "sh", "-c"],
  'ip link set lo up && ip address add fe80::1/64 dev lo nodad && exec "$0" "$@"',
];
const hasIpv6 = existsSync("/proc/net/if_inet6");

describe.skipIf(!hasIpv6)("an address of IPv6", () => {
  const served = /handled 1 requests/;
  /** A client of a server that runs until its standard input ends, in one shell. */
  const both = (host: string, ...more: string[]) => {
    const folder = temporaryFolder();
    const script = `
      "$0" "$1" serve "$2" 0 --children 1 --work none --log "$3/log" --ready-fd 3 3>"$3/ready" &
      until [ -s "$3/ready" ]; do kill -0 $! || exit; sleep 0.02; done
      port=$(sed 's/.*"port":\\([0-9]*\\).*/\\1/' "$3/ready")
      host=$2; node=$0; kilofork=$1; shift 3
      "$node" "$kilofork" client "$host" "$port" 1 arijort:m "$@"; code=$?
      kill $!; wait $!; exit $code`;
    return ["sh", "-c", script, process.execPath, commandPath, host, folder, ...more];
  };

  test.each(["::1", "[::1]"])("may be written %s", async (host) => {
    const [program = "", ...args] = both(host, "--from", host);
    const { stdout, stderr, code } = await new Command(args, program).end();
    expect(stdout).toMatch(served);
    expect(stderr).toContain("listening on [::1]:");
    expect(code).toBe(0);
  });

  test.skipIf(!isRoot)("may name its interface", async () => {
    for (const host of ["fe80::1%lo", "[fe80::1%lo]", "fe80::1%1"]) {
      const [program = "", ...args] = [...LINK_LOCAL, ...both(host)];
      const { stdout, stderr, code } = await new Command(args, program).end();
      expect(stdout).toMatch(served);
      expect(stderr).toContain(`listening on [fe80::1%${host.includes("lo") ? "lo" : "1"}]:`);
      expect(code).toBe(0);
    }
    const { stderr } = await run("serve", "fe80::1%nosuch", "0");
    expect(stderr).toMatch(/cannot listen on .*: no such interface: fe80::1%nosuch/);
  });
});

// Only the superuser may give a process another /etc/hosts.
test.skipIf(!isRoot || !hasIpv6)(
  "a name with several addresses: the server says which it serves",
  async () => {
    const hosts = join(temporaryFolder(), "hosts");
    writeFileSync(hosts, "127.0.0.1 localhost\n127.0.0.2 localhost\n::1 localhost\n");
    const mount = 'mount --bind "$0" /etc/hosts && exec "$@"';
    const log = join(temporaryFolder(), "log");
    const serve = [
      process.execPath,
      commandPath,
      "serve",
      "localhost",
      "0",
      "--children",
      "1",
      "--log",
      log,
    ];
    const server = new Command(["--mount", "sh", "-c", mount, hosts, ...serve], "unshare");
    await until("it is up", () => server.stderr.includes("listening on"));
    const [, served = "", others = ""] =
      /^kilofork: localhost is served at (\S+) only, not at (.+)$/m.exec(server.stderr) ?? [];
    expect(server.stderr).toContain(
      `listening on ${served.includes(":") ? `[${served}]` : served}:`,
    );
    expect([served, ...others.split(", ")].sort()).toEqual(["127.0.0.1", "127.0.0.2", "::1"]);
    server.kill("SIGTERM");
    expect((await server.end()).code).toBe(0);
  },
);

describe("a signal that was ignored at the start stays ignored", () => {
  const launcher = join(dirname(commandPath), "kilofork");
  /** Starts the program as its package does, after these commands of the shell. */
  const after = (commands: string) => [
    "sh",
    "-c",
    `${commands}; shift 2; exec "$0" "$@"`,
    launcher,
  ];

  test("a server goes on after SIGINT, and ends by SIGTERM", async () => {
    const server = await Server.start({ children: 1, via: after("trap '' INT") });
    server.command.kill("SIGINT");
    const { stdout, code } = await run(
      "client",
      "127.0.0.1",
      String(server.port),
      "1",
      "arijort:m",
    );
    expect(stdout).toContain("handled 1 requests");
    expect(code).toBe(0);
    expect(server.scoreboard.header().stopping).toBe(false);
    expect((await server.stop()).code).toBe(0);
  });

  test("a client goes on after SIGINT", async () => {
    const server = await Server.start({ children: 1, work: "sleep:500ms" });
    const [shell = "", ...args] = after("trap '' INT");
    const load = ["node", "script", "client", "127.0.0.1", String(server.port), "1", "arijort:m"];
    const client = new Command([...args, ...load], shell);
    await until("it connects", () => client.stdout.includes("connecting to"));
    client.kill("SIGINT");
    const { stdout, code } = await client.end();
    expect(stdout).toContain("handled 1 requests");
    expect(code).toBe(0);
    await server.stop();
  });

  test.each([
    ["nohup", `nohup "$0" bin/kilofork.cjs "$@" >"$PROGRAM_SAYS" 2>&1 </dev/null & `],
    ["trap '' HUP", `trap '' HUP; bin/kilofork "$@" & `],
  ])("a server goes on after a hang-up of its terminal, with %s", async (_, start) => {
    const folder = temporaryFolder();
    const [log, pidFile, says] = ["log", "pid", "says"].map((name) => join(folder, name));
    const wait = `until [ -s "$PID_FILE" ] && bin/kilofork status --pid $(cat "$PID_FILE") >/dev/null 2>&1; do sleep 0.05; done; echo it is up; cat`;
    const serve = [
      "serve",
      "127.0.0.1",
      "0",
      "--children",
      "1",
      "--log",
      log,
      "--pid-file",
      pidFile,
    ];
    await runOnTerminal({
      argv: ["/bin/sh", "-c", start + wait, process.execPath, ...(serve as string[])],
      when: { text: "it is up", times: 1 },
      act: "a hang-up",
      env: { PROGRAM_SAYS: says, PID_FILE: pidFile },
    });
    const front = readFileSync(pidFile as string, "utf8").trim();
    processes.add(Number(front));
    const reload = await run("ctl", "reload", "--pid", front);
    expect(reload).toMatchObject({ code: 0, stderr: "" });
    expect((await run("ctl", "stop", "--pid", front)).code).toBe(0);
  });
});

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
    expect(result).toMatchObject({ ok: true, concurrent: 300 });
    expect(code).toBe(0);
  });
});

describe("what a machine lacks is named, with the remedy", () => {
  const folder = () => temporaryFolder();
  const serve = (...more: string[]) => [
    ...[process.execPath, commandPath, "serve", "127.0.0.1", "0", "--children", "1"],
    ...["--log", join(folder(), "log"), ...more],
  ];
  const command = (...args: string[]) => [process.execPath, commandPath, ...args];
  const end = ([program = "", ...args]: string[], env: NodeJS.ProcessEnv = {}) =>
    new Command(args, program, env).end();

  test("descriptors", async () => {
    const { code, stderr } = await end(["prlimit", "--nofile=79:79", ...serve()]);
    expect(stderr).toMatch(
      /^kilofork: the limit of 79 open files is too low: a server needs 80; raise it \(ulimit -n, /,
    );
    expect(code).toBe(1);
    const [program = "", ...args] = ["prlimit", "--nofile=80:80", ...serve("--stop-at-eof")];
    const server = new Command(args, program);
    await until("it is up", () => server.stderr.includes("listening on"));
    server.closeInput();
    expect((await server.end()).code).toBe(0);
  });

  test.skipIf(!isRoot)("a capability for --run-as", async () => {
    for (const name of ["chown", "setgid", "setuid"]) {
      const without = ["setpriv", `--bounding-set=-${name}`];
      const { code, stderr } = await end([...without, ...serve("--run-as", "nobody")]);
      expect(stderr).toContain(
        `--run-as needs CAP_CHOWN, CAP_SETGID, CAP_SETUID; missing: CAP_${name.toUpperCase()} (`,
      );
      expect(code).toBe(1);
    }
  });

  test.skipIf(!isRoot)("local ports", async () => {
    const few = 'ip link set lo up && echo "40000 40001" >/proc/sys/net/ipv4/ip_local_port_range';
    const script = `${few}
      "$0" "$1" serve 127.0.0.1 31337 --children 1 --log "$2" --ready-fd 3 3>"$2.ready" &
      until [ -s "$2.ready" ]; do kill -0 $! || exit; sleep 0.02; done
      exec 3<>/dev/tcp/127.0.0.1/31337 4<>/dev/tcp/127.0.0.1/31337
      "$0" "$1" client 127.0.0.1 31337 1 arijort:m --timeout 5s
      kill $!; wait $!`;
    const [node = "", kilofork = ""] = command();
    const args = ["--net", "bash", "-c", script, node, kilofork, join(folder(), "log")];
    const { stdout } = await end(["unshare", ...args]);
    expect(stdout).toContain(
      "Cannot assign requested address: no local port is left; widen net.ipv4.ip_local_port_range,",
    );
  });

  test.each(["demo", "limit"])("a temporary folder for %s", async (name) => {
    const { code, stderr } = await new Command([name], process.execPath, {
      TMPDIR: "/nowhere",
    }).end();
    expect(stderr).toBe(
      "kilofork: nothing can be created in /nowhere: ENOENT; set TMPDIR to a folder that can be written to\n",
    );
    expect(code).toBe(1);
  });

  test.skipIf(!isRoot)("numbers of processes, by those of its own pid namespace", async () => {
    const most = 500;
    const script = `echo ${most} >/proc/sys/kernel/pid_max && exec "$0" "$@"`;
    const space = [
      "unshare",
      "--pid",
      "--fork",
      "--mount-proc",
      "--kill-child",
      "sh",
      "-c",
      script,
    ];
    const { stderr } = await end([...space, ...serve("--children", "900")]);
    const room = Number(/kernel.pid_max 500 leaves room for (\d+);/.exec(stderr)?.[1]);
    const [, major = "", minor = ""] = /^(\d+)\.(\d+)/.exec(release()) ?? [];
    if (Number(major) * 100 + Number(minor) < 614) return; // one limit for all namespaces
    expect(room).toBeGreaterThan(most - 101 - 60);
    expect(room).toBeLessThan(most - 101);
  });
});

test.each(["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])(
  "--log %s: it is --log -",
  async (path) => {
    const { code, stderr } = await run("serve", "127.0.0.1", "0", "--log", path);
    expect(stderr).toBe(`kilofork: --log ${path}: standard output is --log -\n`);
    expect(code).toBe(2);
  },
);

describe("the audit", () => {
  const text = init + births(11) + stop(0);
  // The end of the first request is not in the log: the second one shows that it was over.
  const incomplete =
    init + births(11) + received(1, 11) + received(2, 11) + completed(3, 11, 1) + stop(1);

  test.each([
    ["gz", "gzip", "zcat"],
    ["bz2", "bzip2", "bzcat"],
    ["xz", "xz", "xzcat"],
  ])("says of a log in .%s by which program it can be read", async (suffix, packer, reader) => {
    const log = join(temporaryFolder(), "log");
    writeFileSync(log, text);
    await new Command([log], packer).end();
    for (const args of [
      ["audit", `${log}.${suffix}`],
      ["repair", `${log}.${suffix}`, "--out", `${log}.out`],
    ]) {
      const { code, stderr } = await run(...args);
      expect(stderr).toMatch(
        new RegExp(`^kilofork: the log .* is compressed: give <\\(${reader} FILE\\),`),
      );
      expect(code).toBe(3);
    }
  });

  test("reads a pipe, unless the log must be read twice", async () => {
    const log = join(temporaryFolder(), "log");
    writeFileSync(log, text);
    const audit = `"$0" "$1" audit <(cat "$2")`;
    const args = ["-c", audit, process.execPath, commandPath, log];
    expect(await new Command(args, "bash").end()).toMatchObject({ code: 0, stderr: "" });
    writeFileSync(log, incomplete);
    const { code, stderr } = await new Command(args, "bash").end();
    expect(stderr).toMatch(
      /^kilofork: \/dev\/fd\/\d+ is no file, and this log must be read twice: save it in a file\n$/,
    );
    expect(code).toBe(3);
  });
});

test("status --watch on a dumb terminal sends no escapes", async () => {
  const server = await Server.start({ children: 1 });
  const [shell = "", ...args] = ["/bin/sh", "-c", 'exec "$0" "$@"'];
  const watch = [commandPath, "status", "--pid", String(server.front), "--watch", "50ms"];
  const { output } = await runOnTerminal({
    argv: [shell, ...args, process.execPath, ...watch],
    when: { text: "children", times: 3 },
    act: server.front,
    env: { TERM: "dumb" },
  });
  expect(output).toContain("the server has ended after 0 requests");
  expect(output).not.toContain("\x1b");
  await server.command.end();
});
