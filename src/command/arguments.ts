/** Options and arguments that commands share, with the parsers of their texts. */
import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import { KiloforkError } from "../base/errors";
import { PROCESS_PER } from "../base/protocol";
import { MOST_PID } from "../base/ranges";
import { parseCount, parseDuration } from "../base/units";

/** Parses a whole number from `min` to `max`; `name` stands in the error. */
export const count = (name: string, min: number, max: number) => (text: string) =>
  inArgument(() => parseCount(text, name, { min, max }));

export const duration = (text: string) => inArgument(() => parseDuration(text));

/** Runs `parse`; turns its error into commander's, which names the option. */
export function inArgument<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw error instanceof KiloforkError ? new InvalidArgumentError(error.message) : error;
  }
}

/**
 * Shortens commander's message for a value whose parser names it, too:
 * `option '--children <n>' argument '0' is invalid. children "0" is …` to `--children "0" is …`.
 */
export function sayOnce(message: string): string {
  const [, flags = "", value, why = ""] =
    /^error: option '(.*?)' argument '(.*?)' is invalid\. (.*)/s.exec(message) ??
    /^error: command-argument value ()'(.*?)' is invalid for argument '.*?'\. (.*)/s.exec(
      message,
    ) ??
    [];
  if (value === undefined || !why.includes(`"${value}" `)) return message;
  const [name = ""] = flags.split(" ");
  if (why.startsWith(`${name.replace(/^-+/, "")} `)) return `error: --${why}`;
  return `error: ${flags === "" ? "" : `${flags}: `}${why}`;
}

/** Refuses `--port`, and with `host` `--host`: they are arguments. `example`: how they are written. */
export function refuseNamed(command: Command, names: readonly string[], example: string): void {
  for (const name of names)
    command.addOption(
      new Option(`--${name} <value>`).hideHelp().argParser(() => {
        throw new InvalidArgumentError(`The ${name} is an argument: ${example}.`);
      }),
    );
}

/** An option with a duration; `text` is its default, as on the command line. */
export function durationOption(flags: string, description: string, text: string): Option {
  return new Option(flags, description).argParser(duration).default(parseDuration(text), text);
}

export function jsonOption(description = "print the result as one JSON object"): Option {
  return new Option("--json", description).default(false);
}

export function processPerOption(description: string): Option {
  return new Option("--process-per <what>", description)
    .choices(PROCESS_PER)
    .default(PROCESS_PER[0]);
}

// They select one of several servers.
export const serverPort = () =>
  new Argument("[port]", "port of the server, where several run").argParser(
    count("port", 1, 65535),
  );
export const serverPid = () =>
  new Option("--pid <n>", "process ID of the server, where several have that port").argParser(
    count("pid", 1, MOST_PID),
  );

/** Refuses options that would have no effect, since they belong to another `kind` of run. */
export function refuseOptions(command: Command, names: readonly string[], kind: string): void {
  for (const name of names) {
    if (command.getOptionValueSource(name) !== "cli") continue;
    const { long } = command.options.find((option) => option.attributeName() === name) ?? {};
    throw new KiloforkError("ERR_ARGUMENT", `${long} is for ${kind}`);
  }
}
