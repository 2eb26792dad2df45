/**
 * `npm run results`: writes the tables of docs/results.md and the plots of docs/results, from the
 * JSON of runs.
 *
 *   npm run results -- --bench FILE [--limit FILE] [--rate FILE] [--sweep FILE] [--docs FOLDER]
 *
 * The files are written by `npm run bench -- --out FILE` and by `kilofork limit --json`, the last two
 * with `--find rate` and with `--sweep`. The text of the page is written by hand, and is read again
 * after each run: it names figures.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readBench, readLimit } from "./inputs";
import { emptyPage, figuresOf, fillPage } from "./page";

function main(): void {
  const file = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      ...{ bench: file, limit: file, rate: file, sweep: file },
      docs: { ...file, default: "docs" },
    },
  });
  if (values.bench === undefined) throw new Error("--bench FILE is needed");
  const optional = (path: string | undefined, find: "clients" | "rate") =>
    path === undefined ? undefined : readLimit(path, find);
  const figures = figuresOf({
    bench: readBench(values.bench),
    limit: optional(values.limit, "clients"),
    rate: optional(values.rate, "rate"),
    sweep: optional(values.sweep, "clients"),
  });
  const folder = join(values.docs, "results");
  mkdirSync(folder, { recursive: true });
  for (const { file: name, svg } of figures.drawings) writeFileSync(join(folder, name), svg);
  const path = join(values.docs, "results.md");
  const old = existsSync(path) ? readFileSync(path, "utf8") : emptyPage(figures);
  const { page, kept } = fillPage(old, figures);
  writeFileSync(path, page);
  for (const name of kept)
    process.stderr.write(`results: ${name}: kept as it was, no file has it\n`);
}

try {
  main();
} catch (error) {
  process.stderr.write(`results: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 2;
}
