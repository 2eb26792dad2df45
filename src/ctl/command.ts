/** `kilofork ctl`: sends an order to a running server. */
import { Argument, type Command } from "commander";
import { durationOption, refuseNamed, serverPid, serverPort } from "../command/arguments";
import { control, VERBS, type Verb } from "./control";

export function addCtl(program: Command): void {
  const command = program
    .command("ctl")
    .summary("send an order to a running server, and wait until it is done")
    .description(
      "Sends an order to a running server, and waits until it is done.\n\n" +
        "stop: let requests in work finish, then end.\n" +
        "reload: read the users file again, and open the log again if it was renamed.\n" +
        "reopen: open the log again after a rename; done when the last child has left the old file.\n" +
        "replace: replace all children and the supervisor, some at a time; no connection is refused.",
    )
    .addArgument(new Argument("<verb>", "the order").choices(VERBS))
    .addArgument(serverPort())
    .addOption(serverPid())
    .addOption(durationOption("--timeout <D>", "maximum time to wait; 0: no limit", "60s"))
    .action(async (verb: Verb, port: number | undefined, { pid, timeout }) => {
      process.stdout.write(`${await control({ verb, port, pid, timeoutMs: timeout })}\n`);
    });
  refuseNamed(command, ["port"], "kilofork ctl stop 31337");
}
