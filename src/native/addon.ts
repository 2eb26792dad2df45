/**
 * Loads the addon when a process first needs it, so that code without native parts works without a
 * built addon. Each file of this folder types one part of it, and nothing else uses that part. Callers
 * validate arguments. A failed system call throws a SystemError.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { differencesOfEnumerations } from "../base/enumerations";
import { KiloforkError } from "../base/errors";
import { addonPath, buildCommand } from "../base/paths";

interface Addon {
  readonly enumerations: Readonly<Record<string, readonly string[]>>;
}

let loaded: Addon | undefined;

/** Throws ERR_ADDON if it cannot be loaded, or was built from other sources. */
export function addon<Part extends object>(): Part {
  loaded ??= load();
  return loaded as Addon & Part;
}

function load(): Addon {
  let found: Addon;
  try {
    found = createRequire(__filename)(addonPath) as Addon;
  } catch (cause) {
    const [why] = (cause as Error).message.split("\n");
    const problem = existsSync(addonPath)
      ? `cannot load the addon: ${why}; build it again`
      : "the native part is not built; build it, with a C++20 compiler, make and python3";
    throw new KiloforkError("ERR_ADDON", `${problem}: ${buildCommand}`, { cause });
  }
  const differences = differencesOfEnumerations(found.enumerations);
  if (differences.length > 0)
    throw new KiloforkError(
      "ERR_ADDON",
      `${addonPath} was built from other sources (${differences.join("; ")}); build it again: ${buildCommand}`,
    );
  return found;
}
