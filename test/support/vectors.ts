/** Lines, and what parsers and servers make of them. */
import { readFileSync } from "node:fs";

interface Vector {
  readonly name: string;
  readonly line: string;
  readonly ended: boolean;
  readonly user: string | null;
  readonly message?: string;
  readonly refusal?: string;
  readonly logged?: string;
}

export const { vectors } = JSON.parse(
  readFileSync(`${__dirname}/../protocol-vectors.json`, "utf8"),
) as { vectors: Vector[] };
