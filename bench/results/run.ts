/**
 * `npm run results`: docs/results.md and its plots, from the JSON of real runs.
 *
 *   npm run results -- --bench FILE [--limit FILE] [--rate FILE] [--sweep FILE] [--docs FOLDER]
 *
 * The files are of `npm run bench -- --out` and of `kilofork limit --json`, with `--find rate` and
 * `--sweep`. A part of the page whose file is not given is left out.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { KiloforkError } from "../../src/base/errors";
import { readBench, readLimit } from "./inputs";
import { drawPage, type Page } from "./page";

function main(): void {
  const file = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      ...{ bench: file, limit: file, rate: file, sweep: file },
      docs: { ...file, default: "docs" },
    },
  });
  if (values.bench === undefined) throw new KiloforkError("ERR_ARGUMENT", "--bench FILE is needed");
  const optional = (path: string | undefined, find: "clients" | "rate") =>
    path === undefined ? undefined : readLimit(path, find);
  const page = drawPage({
    bench: readBench(values.bench),
    limit: optional(values.limit, "clients"),
    rate: optional(values.rate, "rate"),
    sweep: optional(values.sweep, "clients"),
  });
  write(page, values.docs);
}

/** The folder of plots is all ours: one that is left of another run would belong to no page. */
function write({ markdown, drawings }: Page, docs: string): void {
  const folder = join(docs, "results");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const { file, svg } of drawings) writeFileSync(join(folder, file), svg);
  writeFileSync(join(docs, "results.md"), markdown);
}

try {
  main();
} catch (error) {
  process.stderr.write(`results: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 2;
}
