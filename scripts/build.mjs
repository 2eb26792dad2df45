// Bundles the command line and the client's thread into dist: one file starts faster than many modules.
import { build } from "esbuild";

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
