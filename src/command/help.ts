/** The layout of help. Commander wraps lines at the width of the terminal. */
import { Help, type HelpConfiguration, type Option } from "commander";

export const helpConfiguration: HelpConfiguration = {
  minWidthToWrap: 12,
  /** Arguments are in the help of the command. */
  subcommandTerm: (command) => command.name(),
  /** Without "(default: false)": every flag is off by default. */
  optionDescription(option: Option): string {
    if (option.isBoolean() && option.defaultValue === false) return option.description;
    return Help.prototype.optionDescription.call(this as Help, option);
  },
};
