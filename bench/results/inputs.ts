/** Reads the JSON of the runs that the figures are made from. */
import { readFileSync } from "node:fs";
import type { LimitResult } from "../../src/limit/result";
import type { BenchReport } from "../report";

export interface Inputs {
  readonly bench: BenchReport;
  /** Written by `kilofork limit --json`, … */
  readonly limit?: LimitResult | undefined;
  /** … with `--find rate`, … */
  readonly rate?: LimitResult | undefined;
  /** … and with `--sweep`. */
  readonly sweep?: LimitResult | undefined;
}

/** Fields that reports of earlier versions lack. */
const NEEDED = ["startedAt", "args", "size", "host", "versions"] as const;

export function readBench(file: string): BenchReport {
  const report = readJson(file);
  if (report.kind !== "bench" || report.schema !== 2)
    throw new Error(`${file}: not written by npm run bench -- --out`);
  const missing = NEEDED.filter((name) => report[name] === undefined);
  if (missing.length > 0)
    throw new Error(`${file}: without ${missing.join(", ")}: run npm run bench -- --out again`);
  return report as unknown as BenchReport;
}

export function readLimit(file: string, find: LimitResult["find"]): LimitResult {
  const result = readJson(file);
  if (result.kind !== "limit" || result.schema !== 1 || result.find !== find)
    throw new Error(`${file}: not written by kilofork limit --find ${find} --json`);
  return result as unknown as LimitResult;
}

function readJson(file: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`);
  }
  throw new Error(`${file}: not an object`);
}
