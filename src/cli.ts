/** The command line: assembles the commands, each of which is defined beside its code. */
import { Command } from "commander";
import { addAudit } from "./audit/command";
import { version } from "./base/version";
import { addClient } from "./client/command";
import { sayOnce } from "./command/arguments";
import { EXIT, reportError } from "./command/exit";
import { helpConfiguration } from "./command/help";
import { guardOutput } from "./command/output";
import { addCtl } from "./ctl/command";
import { addDemo } from "./demo/command";
import { addLimit } from "./limit/command";
import { requireProc } from "./machine/files";
import { addRepair } from "./repair/command";
import { addServe } from "./serve/command";
import { addStatus } from "./status/command";

/** Runs one command; returns the exit code. `early`: signals that came before the program was there. */
export async function main(
  argv: readonly string[],
  early: ReadonlySet<NodeJS.Signals> = new Set(),
): Promise<number> {
  let exitCode: number = EXIT.yes;
  const program = createProgram((code) => {
    exitCode = code;
  }, early);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exitCode;
  } catch (error) {
    return reportError(error);
  }
}

const NEED_PROC = ["serve", "status", "ctl", "limit", "demo"];

function createProgram(exit: (code: number) => void, early: ReadonlySet<NodeJS.Signals>): Command {
  const program = new Command("kilofork")
    .description(
      "A pre-forking TCP server, its load client, and the proof of how many clients it serves at once.",
    )
    .version(version)
    .exitOverride()
    .configureHelp(helpConfiguration)
    .configureOutput({
      writeOut: (text) => {
        guardOutput();
        process.stdout.write(text);
      },
      outputError: (text, write) => write(sayOnce(text)),
    })
    // But not for serve: its standard output may be the children's log, and Node would make a pipe
    // non-blocking.
    .hook("preAction", (_, action) => {
      if (action.name() !== "serve") guardOutput();
      if (NEED_PROC.includes(action.name())) requireProc();
    })
    .showHelpAfterError("(--help shows every option)");
  addServe(program, exit, early);
  addClient(program, exit);
  addAudit(program, exit);
  addRepair(program);
  addStatus(program, exit);
  addCtl(program);
  addLimit(program, exit);
  addDemo(program, exit);
  return program;
}
