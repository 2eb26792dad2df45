/** The options of a server: its settings, and the address that it listens on. */
import { KiloforkError } from "../base/errors";
import { DEFAULT_HOST, DEFAULT_PORT } from "../base/protocol";
import { parseCount } from "../base/units";
import { defaultBacklog } from "../machine/capacity";
import { SETTINGS, type SettingKey, type Settings } from "./settings";

export type { Ack } from "./settings";
export type { Work } from "./work";

/** All options, checked. In a static pool, the bounds of the pool follow from `children`. */
export interface ServeOptions extends Settings {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly backlog: number;
}

/** Fills in the defaults. Throws ERR_ARGUMENT for a value out of range, or values that conflict. */
export function completeOptions(given: Partial<ServeOptions>): ServeOptions {
  const settings = Object.fromEntries(
    (Object.keys(SETTINGS) as SettingKey[]).map((key) => [key, checked(key, given[key])]),
  ) as unknown as Settings;
  const { host = DEFAULT_HOST, port = DEFAULT_PORT } = given;
  const options = { ...settings, host, port, backlog: settings.backlog ?? defaultBacklog() };
  if (options.ack === "synced" && options.log === "-")
    throw refused("--ack synced needs a file: --log - is standard output");
  if (options.pool === "dynamic") return checkedPool(options);
  const { children } = options;
  const bounds = { startChildren: children, minSpare: 0, maxSpare: children };
  return { ...options, ...bounds, maxChildren: children, shrinkAfterMs: 0 };
}

function checked(key: SettingKey, value: unknown): unknown {
  const { range, flags, choices, default: otherwise } = SETTINGS[key];
  if (value === undefined) return otherwise;
  const [name = ""] = flags.replace("--", "").split(" ");
  if (range) return parseCount(String(value), name, range);
  if (choices && !choices.includes(String(value)))
    throw refused(`${name} "${value}" is none of ${choices.join(", ")}`);
  return value;
}

function checkedPool(options: ServeOptions): ServeOptions {
  const { startChildren, minSpare, maxSpare, maxChildren } = options;
  if (minSpare > maxSpare)
    throw refused(`--min-spare ${minSpare} is more than --max-spare ${maxSpare}`);
  if (minSpare > maxChildren)
    throw refused(`--min-spare ${minSpare} is more than --max-children ${maxChildren}`);
  if (startChildren > maxChildren)
    throw refused(`--start-children ${startChildren} is more than --max-children ${maxChildren}`);
  return options;
}

function refused(message: string): KiloforkError {
  return new KiloforkError("ERR_ARGUMENT", message);
}
