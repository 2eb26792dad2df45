/** The layout of help. Commander wraps lines at the width of the terminal. */
import { type Command, Help, type HelpConfiguration, type Option } from "commander";

/** A column of descriptions that is narrower than this is hard to read. */
const NARROWEST_COLUMN = 24;

export const helpConfiguration: HelpConfiguration = {
  minWidthToWrap: 12,
  /** Arguments are in the help of the command. */
  subcommandTerm: (command) => command.name(),
  /** On a narrow terminal, in several lines. */
  commandUsage(command: Command): string {
    const usage = Help.prototype.commandUsage.call(this as Help, command);
    const indent = "Usage: ".length;
    const wrapped = (this as Help).boxWrap(usage, ((this as Help).helpWidth ?? 80) - indent);
    return wrapped.replaceAll("\n", `\n${" ".repeat(indent)}`);
  },
  /** Explains `D`, if an option has one. */
  commandDescription(command: Command): string {
    const text = command.description();
    const hasDuration = command.options.some(({ flags }) => /[<[]D[>\]]/.test(flags));
    return hasDuration ? `${text}\n\nA duration D is written as 250ms, 3s or 2m.` : text;
  },
  /** Without "(default: false)": every flag is off by default. */
  optionDescription(option: Option): string {
    if (option.isBoolean() && option.defaultValue === false) return option.description;
    return Help.prototype.optionDescription.call(this as Help, option);
  },
  /** On a narrow terminal, puts the description below the term. */
  formatItem(term, termWidth, description, helper): string {
    const width = helper.helpWidth ?? 80;
    if (width - termWidth - 4 >= NARROWEST_COLUMN)
      return Help.prototype.formatItem.call(helper, term, termWidth, description, helper);
    const indent = " ".repeat(6);
    return `  ${term}\n${indent}${helper.boxWrap(description, width - 6).replaceAll("\n", `\n${indent}`)}`;
  },
};
