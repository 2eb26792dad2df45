/** `kilofork audit`: proves concurrency and checks the ledger, from a log. */
import { readFileSync } from "node:fs";
import { Argument, type Command } from "commander";
import { KiloforkError } from "../base/errors";
import { printable } from "../base/printable";
import { MOST_CLIENTS } from "../base/ranges";
import type { ClientResult } from "../client/load";
import { count, jsonOption } from "../command/arguments";
import { EXIT } from "../command/exit";
import { DEFAULT_LOG } from "../log/names";
import { type AuditOptions, audit } from "./audit";
import { showAudit } from "./text";

export function addAudit(program: Command, exit: (code: number) => void): void {
  program
    .command("audit")
    .summary("prove concurrency and check the ledger, from a log")
    .description(
      "Reads the last run in a log: how many requests were in flight at one instant, and whether replies <= counted <= completed <= counted + died. Exits 1 when the books do not balance.",
    )
    .addArgument(
      new Argument("[log...]", "files of one log, the oldest first").default(
        [DEFAULT_LOG],
        DEFAULT_LOG,
      ),
    )
    .option(
      "--client <file>",
      "result of kilofork client --out, to be compared with the log; of several clients, give each",
      (file: string, others: readonly string[]) => [...others, file],
      [],
    )
    .option(
      "--match <prefix>",
      "only requests whose message begins with this prefix, as written in the log",
    )
    .option(
      "--at-least <n>",
      "minimum peak; the audit fails if the peak is lower",
      count("at-least", 1, MOST_CLIENTS),
      0,
    )
    .option("--all", "report every run in the log, not only the last", false)
    .addOption(jsonOption())
    .action((logs: string[], options) => {
      const { client, match, atLeast, all, json } = options;
      exit(runAudit({ logs, clientFiles: client, match, atLeast, all, json }));
    });
}

interface AuditCommand {
  readonly logs: readonly string[];
  readonly clientFiles: readonly string[];
  readonly match: string | undefined;
  readonly atLeast: number;
  readonly all: boolean;
  readonly json: boolean;
}

function runAudit(command: AuditCommand): number {
  const { clientFiles } = command;
  const options: AuditOptions = {
    ...command,
    clients: clientFiles.map(readClientResult),
  };
  const result = audit(options);
  if (command.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  else process.stdout.write(`${showAudit(result, clientFiles)}\n`);
  if (result.ok) return EXIT.yes;
  throw new KiloforkError("ERR_NOT_BALANCED", result.problems.join("\n"));
}

function readClientResult(file: string): ClientResult {
  try {
    const result: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (!isClientResult(result))
      throw new Error("it was not written by kilofork client --out of this version");
    return result;
  } catch (error) {
    throw new KiloforkError(
      "ERR_UNREADABLE",
      // The message of a JSON error quotes the file.
      `cannot read the client's result ${file}: ${printable((error as Error).message)}`,
    );
  }
}

/** Checks the fields that the audit uses. */
function isClientResult(value: unknown): value is ClientResult {
  const result = value as Partial<ClientResult> | null;
  const { requests, inFlight } = result ?? {};
  const numbers = [
    ...[
      result?.clients,
      result?.firstConnectMs,
      result?.lastReplyMs,
      requests?.sent,
      requests?.verified,
    ],
    ...[inFlight?.peak, inFlight?.pids, inFlight?.fromMs, inFlight?.heldMs],
  ];
  return (
    result?.kind === "client" &&
    result.schema === 1 &&
    typeof result.message === "string" &&
    typeof (result.address ?? "") === "string" &&
    numbers.every(Number.isFinite) &&
    [result.clockStepMs ?? 0, ...(result.greeted?.firstPids ?? [])].every(Number.isFinite)
  );
}
