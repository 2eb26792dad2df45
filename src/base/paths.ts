/** Paths of the built parts of the package. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** Finds the folder of package.json: this file runs from src, and bundled from dist. */
function findRoot(folder: string): string {
  return existsSync(join(folder, "package.json")) ? folder : findRoot(dirname(folder));
}
const root = findRoot(__dirname);

export const addonPath = join(root, "build", "Release", "kilofork.node");
export const supervisorPath = join(root, "build", "Release", "kilofork-supervisor");
export const clientWorkerPath = join(root, "dist", "client-worker.cjs");
export const commandPath = join(root, "bin", "kilofork.cjs");

/** The command that builds addon and supervisor, wherever the package is. */
export const buildCommand = `npm run install --prefix ${/^[\w./@+-]+$/.test(root) ? root : `'${root}'`}`;
