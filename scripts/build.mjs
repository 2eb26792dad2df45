// Bundles the command line and the client's thread into dist: one file starts faster than many modules.
// Without the tools of development, dist stays as it is.
import { existsSync } from "node:fs";

const { build } = await import("esbuild").catch(() => {
  const isBuilt = existsSync("dist/kilofork.cjs");
  console.error(
    `kilofork: esbuild is not installed, so dist ${isBuilt ? "stays as it is" : "cannot be built; install it, too: npm install --include=dev"}`,
  );
  process.exit(isBuilt ? 0 : 1);
});
await build({
  entryPoints: { kilofork: "src/cli.ts", "client-worker": "src/client/worker.ts" },
  outdir: "dist",
  outExtension: { ".js": ".cjs" },
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  sourcemap: true,
  logLevel: "warning",
});
