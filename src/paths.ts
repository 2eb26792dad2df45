/** Where the package's built parts lie. This file's folder is src or dist, one below the root. */
import { join } from "node:path";

const root = join(__dirname, "..");

export const addonPath = join(root, "build", "Release", "kilofork.node");
export const supervisorPath = join(root, "build", "Release", "kilofork-supervisor");
export const clientWorkerPath = join(root, "dist", "client-worker.cjs");
export const commandPath = join(root, "bin", "kilofork.cjs");
