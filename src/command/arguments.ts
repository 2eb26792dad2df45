/** Options and arguments of commander whose text is turned into a value, so that --help shows the text. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { KiloforkError } from "../base/errors";
import { parseCount, parseDuration } from "../base/units";

export const duration = (text: string) => inArgument(() => parseDuration(text));
export const count = (name: string, min: number, max: number) => (text: string) =>
  inArgument(() => parseCount(text, name, { min, max }));

export function inArgument<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw error instanceof KiloforkError ? new InvalidArgumentError(error.message) : error;
  }
}

export function durationOption(flags: string, description: string, text: string): Option {
  return new Option(flags, description).argParser(duration).default(parseDuration(text), text);
}

/** Options that were given and would have no effect, since they are for another kind. */
export function refuseOptions(command: Command, names: readonly string[], kind: string): void {
  for (const name of names) {
    if (command.getOptionValueSource(name) !== "cli") continue;
    const { long } = command.options.find((option) => option.attributeName() === name) ?? {};
    throw new KiloforkError("ERR_ARGUMENT", `${long} is for ${kind}`);
  }
}
