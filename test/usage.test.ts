/** Wrong usage, and logs that cannot be judged: the exit code, and one line that says what to do. */
import { once } from "node:events";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isSystemError } from "../src/base/errors";
import { commandPath } from "../src/base/paths";
import { parseDuration, showDuration, writeDuration } from "../src/base/units";
import { Scoreboard } from "../src/native/scoreboard";
import { parseUsers } from "../src/serve/users";
import { temporaryFolder } from "./support/cleanup";
import { Command, run, withFiles } from "./support/command";
import { births, init, stop } from "./support/log";
import { Server } from "./support/server";
import { isRoot } from "./support/user";

const log = () => join(temporaryFolder(), "log");
const serve = (...args: string[]) => run("serve", "127.0.0.1", "0", "--children", "1", ...args);
const client = (...args: string[]) => run("client", ...args);

describe("exit 2, with one line that says what to do", () => {
  test.each([
    [
      /port "70000" is not a whole number from 1 to 65535/,
      () => client("localhost", "70000", "1", "arijort:x"),
    ],
    [/threads "0" is not/, () => client("localhost", "31337", "0", "arijort:x")],
    [
      /does not conform to the protocol: <username>:<message>/,
      () => client("localhost", "31337", "1", "hello"),
    ],
    [/does not conform/, () => client("localhost", "31337", "1", ":hello")],
    [/does not conform/, () => client("localhost", "31337", "1", `${"u".repeat(32)}:hello`)],
    [/does not conform/, () => client("localhost", "31337", "1", "arijort:two\nlines")],
    [
      /lines of \d+ bytes with its number, allowed are 1024/,
      () => client("localhost", "31337", "1", `arijort:${"m".repeat(1024)}`),
    ],
    [
      /"3" is not a duration: write 250ms/,
      () => client("localhost", "31337", "1", "a:b", "--timeout", "3"),
    ],
    [
      /cannot resolve the host "no.such.invalid"/,
      () => client("no.such.invalid", "31337", "1", "a:b"),
    ],
    [
      /--from "here" is not a numeric address/,
      () => client("127.0.0.1", "31337", "1", "a:b", "--from", "here"),
    ],
    [
      /--from ::1: the server has no address of that kind \(IPv6\)/,
      () => client("127.0.0.1", "31337", "1", "a:b", "--from", "::1"),
    ],
    [/port "70000" is not/, () => run("serve", "localhost", "70000")],
    [
      /^error: --children "0" is not a whole number from 1 to \d+\n/,
      () => run("serve", "--children", "0"),
    ],
    [
      /^error: --work-timeout <D>: "5" is not a duration:/,
      () => run("serve", "--work-timeout", "5"),
    ],
    [
      /^kilofork: "31337" is a number, and no host: .*, as in localhost 31337\n$/,
      () => run("serve", "31337"),
    ],
    [/The port is an argument: kilofork serve localhost 31337\./, () => serve("--port", "80")],
    [/The host is an argument: kilofork client /, () => client("--host", "x", "1", "1", "a:b")],
    [
      /--min-spare 20 is more than --max-spare 10/,
      () => run("serve", "--pool", "dynamic", "--min-spare", "20"),
    ],
    [
      /--start-children 50 is more than --max-children 10/,
      () => run("serve", "--pool", "dynamic", "--start-children", "50", "--max-children", "10"),
    ],
    [
      /--min-spare 8 is more than --max-children 4/,
      () =>
        run(
          "serve",
          ...["--pool", "dynamic", "--min-spare", "8", "--max-spare", "9"],
          ...["--start-children", "1", "--max-children", "4"],
        ),
    ],
    [
      /children "0" is not a whole number from 1 to/,
      () => run("serve", "--pool", "dynamic", "--max-children", "0"),
    ],
    [/--min-spare is for --pool dynamic/, () => run("serve", "--min-spare", "3")],
    [/--children is for --pool static/, () => run("serve", "--pool", "dynamic", "--children", "3")],
    [/--pool <kind>.*Allowed choices are static, dynamic/, () => run("serve", "--pool", "both")],
    [/--work-timeout <D>.*"5" is not a duration/, () => run("serve", "--work-timeout", "5")],
    [/cannot open the spawn log/, () => serve("--log", log(), "--spawn-log", "/no/such/folder/x")],
    [
      /--work "nap:3s": write none, sleep:3s or spin:5ms/,
      () => serve("--work", "nap:3s", "--log", log()),
    ],
    [
      /the folder of the log .* is missing; create /,
      () => serve("--log", join(temporaryFolder(), "no", "log")),
    ],
    [/cannot read the users file/, () => serve("--log", log(), "--users", "/no/such/file")],
    [/"70" is not a share: write 1% to 95%/, () => run("limit", "--max-memory", "70")],
    [/--find <what>.*Allowed choices are clients, rate/, () => run("limit", "--find", "all")],
    [
      /cannot write the result: ENOENT/,
      () => client("127.0.0.1", "1", "1", "a:b", "--out", "/no/such/file", "--json"),
    ],
    [/cannot write the page: ENOENT/, () => run("limit", "--html", "/no/such/file")],
    [
      /--ramp is longer than --duration/,
      () => client("127.0.0.1", "1", "1", "a:b", "--ramp", "8s", "--duration", "1s"),
    ],
    [/--slo 0: every reply takes some time/, () => run("limit", "--slo", "0")],
    [/--connections is for --find rate/, () => run("limit", "--connections", "5")],
    [/--hold is for --find clients/, () => run("limit", "--find", "rate", "--hold", "1s")],
    [/--work 0: without work there is no instant/, () => run("demo", "--work", "0")],
    [/unknown option '--childs'/, () => serve("--childs", "3")],
    [/unknown command 'sevre'/, () => run("sevre")],
    [/missing required argument 'message'/, () => client("localhost", "31337", "1")],
  ])("%s", async (message, command) => {
    const { code, stderr, stdout } = await command();
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  test.each([
    ["a symbolic link", (path: string) => symlinkSync("/tmp/elsewhere", path)],
    ["a folder", (path: string) => mkdirSync(path)],
  ])("%s in the log's place", async (what, make) => {
    const path = log();
    make(path);
    const { code, stderr } = await serve("--log", path);
    expect(stderr).toContain(`it is ${what}`);
    expect(code).toBe(2);
  });
});

describe("exit 1", () => {
  test("a port in use, and a second server on the same port", async () => {
    const server = await Server.start({ children: 1 });
    const { code, stderr } = await run(
      ...["serve", "127.0.0.1", String(server.port), "--children", "1", "--log", log()],
    );
    expect(stderr).toMatch(
      /^kilofork: cannot listen on 127.0.0.1:\d+: another program listens there; stop it or give another port\n$/,
    );
    expect(code).toBe(1);
    await server.stop();
  });

  test("a log that another server writes to, which is left alone", async () => {
    const server = await Server.start({ children: 1 });
    const { code, stderr } = await serve("--log", server.log);
    expect(stderr).toMatch(/another server writes to it/);
    expect(code).toBe(1);
    expect(server.records(/Server init/)).toHaveLength(1);
    await server.stop();
  });

  test("a port that an outgoing connection has", async () => {
    const listener = createServer().listen(0, "127.0.0.1");
    await once(listener, "listening");
    const { port } = listener.address() as AddressInfo;
    const outgoing = connect(port, "127.0.0.1");
    await once(outgoing, "connect");
    const taken = String(outgoing.localPort);
    const { code, stderr } = await run("serve", "127.0.0.1", taken, "--log", log());
    expect(stderr).toMatch(
      /^kilofork: cannot listen on .*: a connection of another program has that port/,
    );
    expect(code).toBe(1);
    outgoing.destroy();
    listener.close();
  });

  // Only the superuser may mount.
  test.skipIf(!isRoot).each([
    ["/dev/shm", "size=16k", /no shared memory in \/dev\/shm: .* No space left .*--shm-size\) or/],
    ["/dev/shm", "ro", /no shared memory in \/dev\/shm: .* Read-only .*mount a tmpfs there/],
    ["/proc", "size=16k", /^kilofork: \/proc is not mounted, .*: mount -t proc proc \/proc\n$/],
  ])("a bad %s (%s)", async (folder, how, message) => {
    const script = `mount -t tmpfs -o ${how} none ${folder} && exec "$@"`;
    const serves = ["serve", "127.0.0.1", "0", "--children", "9", "--log", log()];
    const args = ["--mount", "sh", "-c", script, "sh", process.execPath, commandPath, ...serves];
    const { code, stderr } = await new Command(args, "unshare").end();
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
  });

  test("more children than the machine has room for, named before anything is started", async () => {
    const path = log();
    const { code, stderr } = await run(
      ...["serve", "127.0.0.1", "0", "--children", "900000", "--log", path],
    );
    expect(stderr).toMatch(
      /900,000 children do not fit: kernel.pid_max \d+ leaves room for [\d,]+; raise it/,
    );
    expect(code).toBe(1);
  });

  test("with a process for each request, more children than the keeper has descriptors for", async () => {
    const { code, stderr } = await withFiles(100, [
      ...["serve", "127.0.0.1", "0", "--process-per", "request", "--children", "19"],
      ...["--log", log()],
    ]);
    expect(stderr).toBe(
      "kilofork: 19 children do not fit: the limit of 100 open files leaves room in the keeper for 18, with a connection each; raise it (ulimit -n, systemd: LimitNOFILE=) or lower --children\n",
    );
    expect(code).toBe(1);
  });

  // The superuser has no such limit, but may become a user who runs nothing yet.
  test.skipIf(!isRoot)("more children than its user may have", async () => {
    const as = ["--reuid=54321", "--regid=54321", "--clear-groups", "prlimit", "--nproc=300:"];
    const { code, stderr } = await new Command(
      [...as, process.execPath, commandPath, "serve", "127.0.0.1", "0", "--children", "250"],
      "setpriv",
    ).end();
    const room = Number(
      /the limit of 300 processes a user leaves room for (\d+);/.exec(stderr)?.[1],
    );
    expect(room).toBeGreaterThan(130);
    expect(room).toBeLessThan(199); // the threads of the front are counted, too
    expect(code).toBe(1);
  });

  test("a backlog that the kernel would cut", async () => {
    const { code, stderr } = await serve("--log", log(), "--backlog", "2000000000");
    expect(stderr).toMatch(/a backlog of 2000000000 is more than net.core.somaxconn \d+/);
    expect(code).toBe(1);
  });

  test("nobody listens: every request has failed, with the cause", async () => {
    const { code, stderr, stdout } = await client("127.0.0.1", "1", "3", "arijort:x");
    expect(stdout).toContain("handled 0 requests");
    expect(stderr).toContain("3 connect: could not connect (Connection refused), first client 1");
    expect(code).toBe(1);
  });
});

describe("a standard output that cannot be written to", () => {
  test("of the audit, without a reader: exit 141, and no message", async () => {
    const path = log();
    writeFileSync(path, init + births(11) + stop(3));
    const command = new Command(["audit", path]);
    command.closeOutput();
    expect(await command.end()).toMatchObject({ code: 141, stderr: "" });
  });

  test("of the demo, without a reader: the demo leaves nothing", async () => {
    const folder = temporaryFolder();
    const args = ["demo", "--clients", "2", "--work", "100ms"];
    const command = new Command(args, process.execPath, { TMPDIR: folder });
    command.closeOutput();
    expect(await command.end()).toMatchObject({ code: 141, stderr: "" });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("on a full disk: exit 1, and one line", async () => {
    const script = `exec "$0" bin/kilofork.cjs --help >/dev/full`;
    const { code, stderr } = await new Command(["-c", script, process.execPath], "sh").end();
    expect(stderr).toBe("kilofork: cannot write to standard output: ENOSPC\n");
    expect(code).toBe(1);
  });
});

describe("exit 3", () => {
  test("no log, and a log without a record", async () => {
    const missing = await run("audit", "/no/such/log");
    expect(missing).toMatchObject({ code: 3, stdout: "" });
    expect(missing.stderr).toMatch(/cannot read the log/);
    const empty = log();
    writeFileSync(empty, "");
    expect((await run("audit", empty)).code).toBe(3);
  });

  test.each([
    {},
    { message: "arijort:x", clients: 1, firstConnectMs: 0, requests: { sent: 1 }, inFlight: {} },
  ])("a client's result that lacks what the audit looks at: %j", async (fields) => {
    const folder = temporaryFolder();
    const [log, file] = [join(folder, "log"), join(folder, "client.json")] as const;
    writeFileSync(log, init + stop(0));
    writeFileSync(file, JSON.stringify({ kind: "client", schema: 1, ...fields }));
    const { code, stderr } = await run("audit", log, "--client", file);
    expect(code).toBe(3);
    expect(stderr).toMatch(
      /^kilofork: .*: it was not written by kilofork client --out of this version\n$/,
    );
  });
});

test("an error with a number comes from the system, one without from Node", () => {
  expect(isSystemError(Object.assign(new Error(), { code: "EPERM", errno: -1 }))).toBe(true);
  expect(() => new Scoreboard("/kilofork-none")).toThrow(
    expect.toSatisfy((error) => isSystemError(error) && error.code === "ENOENT"),
  );
  expect(() => Buffer.from(undefined as never)).toThrow(
    expect.toSatisfy((error) => error.code === "ERR_INVALID_ARG_TYPE" && !isSystemError(error)),
  );
});

describe("units", () => {
  test.each([
    ["250ms", 250],
    ["3s", 3000],
    ["1.5s", 1500],
    ["2m", 120_000],
    ["1h", 3_600_000],
    ["0", 0],
  ])("%s is %d ms", (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each(["3", "-1s", "s", "1 s", "1d", "", "1e3ms"])("%s is refused", (text) =>
    expect(() => parseDuration(text)).toThrow("is not a duration"),
  );

  test("durations are shown to three digits", () => {
    expect([3.0214, 21.44, 2957, 0.087, 0, 165_000].map(showDuration)).toEqual([
      "3.02 ms",
      "21.4 ms",
      "2.96 s",
      "87.0 us",
      "0.00 ms",
      "165 s",
    ]);
    expect([3000, 250, 0.5].map(writeDuration)).toEqual(["3s", "250ms", "500us"]);
  });
});

test("a users file has one name a line and comments, and bad names are named with their line", () => {
  expect(parseUsers("# all\narijort\n  foobar # too\n\narijort\n", "u")).toEqual([
    "arijort",
    "foobar",
  ]);
  for (const bad of ["a b", "a:b", "u".repeat(32), 'a"b', "a\\b", "a\u0007b", "x<torn>", "<torn>x"])
    expect(() => parseUsers(`ok\n${bad}\n`, "u")).toThrow("u, line 2: ");
  expect(() => parseUsers("\x1b[2J\u009b\n", "u")).toThrow('u, line 1: the name "?[2J?" contains');
  expect(() => parseUsers("# nobody\n", "u")).toThrow("u names no user");
});
