/**
 * `kilofork serve` on the command line: options (from the table of settings), banner, messages, pid
 * file, service manager, exit code. Its signals are in signals.ts.
 */
import { type Command, Option, type OptionValues } from "commander";
import { whereIs } from "../base/address";
import { DEFAULT_HOST, DEFAULT_PORT } from "../base/protocol";
import { count, inArgument, refuseNamed, refuseOptions } from "../command/arguments";
import { EXIT, say } from "../command/exit";
import { notify } from "../native/processes";
import type { Ready, ServerEvent } from "./events";
import { PHRASES } from "./messages";
import type { ServeOptions } from "./options";
import { PidFile } from "./pid-file";
import { ReadyNotice } from "./ready";
import { Server } from "./server";
import { type Pool, SETTINGS, type Setting, type SettingKey } from "./settings";
import { handleSignals } from "./signals";
import { nameSome } from "./users";
import { writeWork } from "./work";

/** A pool that stays full reports that once in this time. */
const MAXIMUM_REPORTED_EVERY_MS = 60_000;

/** Options of the command that are no settings of the server. */
interface CommandOptions {
  readonly pidFile: string | undefined;
  readonly readyFd: number | undefined;
  readonly stopAtEof: boolean;
}

/** `early`: signals that came before the program was there. */
export function addServe(
  program: Command,
  exit: (code: number) => void,
  early: ReadonlySet<NodeJS.Signals>,
): void {
  const command = program
    .command("serve")
    .summary("run the server")
    .description(
      "Serves <username>:<message> lines, each request in a process of its own, counted in shared memory and written to the log. Stays in the foreground until SIGTERM or Ctrl-C.",
    )
    .argument("[host]", "address to listen on", DEFAULT_HOST)
    .argument(
      "[port]",
      "port to listen on; 0: any free one",
      count("port", 0, 65535),
      DEFAULT_PORT,
    );
  for (const setting of Object.values(SETTINGS)) command.addOption(optionOf(setting));
  refuseNamed(command, ["host", "port"], `kilofork serve ${DEFAULT_HOST} ${DEFAULT_PORT}`);
  command
    .option(
      "--pid-file <file>",
      "file with the pid of the server, locked while it runs, removed when it ends",
    )
    .option(
      "--ready-fd <n>",
      "open descriptor that gets one line of JSON when the server is ready or has failed to start",
      count("ready-fd", 3, 2 ** 20),
    )
    .option("--stop-at-eof", "stop when standard input ends", false)
    .action(async (host: string, port: number, given: OptionValues) => {
      const options = given as unknown as CommandOptions;
      const notice = options.readyFd === undefined ? undefined : new ReadyNotice(options.readyFd);
      try {
        refusePoolOptions(command, given.pool);
        exit(await runServe({ ...valuesOf(command), host, port }, options, notice, early));
      } catch (error) {
        notice?.failed(error);
        throw error;
      }
    });
}

// ---- options ------------------------------------------------------------------------------------

/** Commander parses numbers; the action parses other values, and their defaults, in valuesOf(). */
function optionOf(setting: Setting<unknown>): Option {
  const { flags, help, unit, choices, defaultText, parse } = setting;
  const option = new Option(flags, help);
  if (choices) option.choices(choices);
  if (isNumber(unit)) {
    option.argParser((text: string) => inArgument(() => parse(text)));
    // The help shows a duration as it is written, another number as it is.
    return option.default(setting.default, unit === "duration" ? defaultText : undefined);
  }
  return defaultText === undefined ? option : option.default(defaultText);
}

const isNumber = (unit: Setting<unknown>["unit"]) => ["count", "bytes", "duration"].includes(unit);

function valuesOf(command: Command): Partial<ServeOptions> {
  const values = command.opts();
  const keys = Object.keys(SETTINGS) as SettingKey[];
  return Object.fromEntries(
    keys.map((key) => {
      const { flags, unit, parse } = SETTINGS[key];
      const value = values[new Option(flags).attributeName()];
      return [key, value === undefined || isNumber(unit) ? value : parse(value)];
    }),
  );
}

/** Refuses options of the other kind of pool: they would have no effect. */
function refusePoolOptions(command: Command, pool: Pool): void {
  const other: Pool = pool === "static" ? "dynamic" : "static";
  const names = Object.values(SETTINGS as Record<SettingKey, Setting<unknown>>)
    .filter((setting) => setting.pool === other)
    .map(({ flags }) => new Option(flags).attributeName());
  refuseOptions(command, names, `--pool ${other}`);
}

// ---- the run ------------------------------------------------------------------------------------

/** Serves until the server has ended; returns the exit code. */
async function runServe(
  options: Partial<ServeOptions>,
  { pidFile: pidPath, stopAtEof }: CommandOptions,
  notice: ReadyNotice | undefined,
  early: ReadonlySet<NodeJS.Signals>,
): Promise<number> {
  const server = new Server(options);
  const removeHandlers = handleSignals(server, early);
  reportEvents(server);
  let isOpen = false;
  let pidFile: PidFile | undefined;
  server
    .on("listening", () => {
      isOpen = true;
      if (pidPath !== undefined) pidFile = new PidFile(pidPath);
    })
    .on("closing", () => pidFile?.remove()) // now, since another server may soon have port and file
    .on("ready", (ready) => {
      notify("READY=1");
      announce(server, ready, options);
      notice?.ready(ready);
    })
    .on("ready-again", () => notify("READY=1"))
    .on("stopping", () => notify("STOPPING=1"));
  // Ignore a reader that has left. But leave a standard output alone that is the log: Node would make
  // a pipe non-blocking, for the children, too.
  if (options.log !== "-") process.stdout.on("error", () => {});
  process.stderr.on("error", () => {});
  if (stopAtEof) process.stdin.resume().once("end", () => server.stop("end-of-input"));
  try {
    const started = server.start();
    started.catch((error) => notice?.failed(error));
    const { aborted, by } = await server.ended;
    await started.catch(() => {});
    if (!isOpen) process.exit(EXIT.yes); // a pending look-up of the host would keep the process alive
    const code = aborted > 0 || by === "log-reader" ? EXIT.no : EXIT.yes;
    // Not standard output that is the log: Node would make it non-blocking, for others, too.
    await flush(options.log === "-" ? [process.stderr] : [process.stdout, process.stderr], code);
    return code;
  } finally {
    if (stopAtEof) process.stdin.destroy();
    removeHandlers();
  }
}

/**
 * Ends the process if the readers of its messages take nothing, as a pipe's that has stalled: Node
 * would wait for them without end.
 */
async function flush(streams: readonly NodeJS.WriteStream[], code: number): Promise<void> {
  const PATIENCE_MS = 500;
  const written = (stream: NodeJS.WriteStream) =>
    new Promise<void>((resolve) => {
      stream.write("", () => resolve());
    });
  const late = setTimeout(() => process.exit(code), PATIENCE_MS);
  await Promise.all(streams.map(written));
  clearTimeout(late);
}

// ---- messages -----------------------------------------------------------------------------------

function reportEvents(server: Server): void {
  for (const event of Object.keys(PHRASES) as ServerEvent[]) {
    const phrase = PHRASES[event] as ((data: unknown) => string | null) | null;
    if (!phrase || event === "growth-limit") continue;
    server.on(event, (data: unknown) => {
      const text = phrase(data);
      if (text !== null) say(text);
    });
  }
  let maximumReportedAt = 0;
  server.on("growth-limit", (data) => {
    const text = PHRASES["growth-limit"]?.(data) ?? null;
    if (text === null) return;
    if (data.limit === "maximum") {
      if (Date.now() - maximumReportedAt < MAXIMUM_REPORTED_EVERY_MS) return;
      maximumReportedAt = Date.now();
    }
    say(text);
  });
}

/** Prints the banner, and a line with addresses and settings. */
function announce(server: Server, ready: Ready, options: Partial<ServeOptions>): void {
  const { children, upMs } = ready;
  const { host, log = "", work = { kind: "none" }, processPer } = options;
  const mode = processPer === "request" ? "; a process for each request" : "";
  // With the log on standard output, the banner must not be among the records.
  const banner = log === "-" ? process.stderr : process.stdout;
  banner.write(`Running with ${children} children on host:port ${host}:${ready.port}\n`);
  say(
    `listening on ${whereIs(ready)}${mode}; work ${writeWork(work)}; users ${nameSome(server.users)}; log ${log}; children up in ${upMs.toFixed(0)} ms`,
  );
}
