/** Runs a program on a pseudo terminal of its own, by the pty module of Python. pty(7) */
import { Command } from "./command";

export interface OnTerminal {
  readonly argv: readonly string[];
  /** The test acts when the program has written this text this many times. */
  readonly when: { readonly text: string; readonly times: number };
  /** Ctrl-C and a hang-up go through the terminal; a number is a process that SIGTERM is sent to. */
  readonly act: "Ctrl-C" | "a hang-up" | number;
  readonly rows?: number;
  readonly columns?: number;
  readonly env?: NodeJS.ProcessEnv;
}

export interface TerminalEnd {
  readonly output: string;
  /** Of Python itself. */
  readonly errors: string;
  /** The exit code of the program, or the negative number of the signal that ended it. */
  readonly code: number;
}

const SCRIPT = `
import fcntl, os, pty, struct, sys, termios
rows, columns, text, times, act, *argv = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    os.read(0, 1)  # until the size is set
    os.execv(argv[0], argv)
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", int(rows), int(columns), 0, 0))
os.write(fd, b"\\n")
output, acted = b"", False
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    output += data
    if output.count(text.encode()) >= int(times) and not acted:
        acted = True
        if act == "Ctrl-C":
            os.write(fd, b"\\x03")
        elif act == "a hang-up":
            os.close(fd)
            break
        else:
            os.kill(int(act), 15)
sys.stdout.write(output.decode())
sys.stdout.flush()
print("\\nexit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

/** Resolves when the program has ended. */
export async function runOnTerminal(options: OnTerminal): Promise<TerminalEnd> {
  const { argv, when, act, rows = 24, columns = 80, env } = options;
  const args = [rows, columns, when.text, when.times, act].map(String);
  const { stdout, stderr } = await new Command(
    ["-c", SCRIPT, ...args, ...argv],
    "python3",
    env,
  ).end();
  const [end = "", code] = /\nexit (-?\d+)\n$/.exec(stdout) ?? [];
  return {
    output: stdout.slice(0, stdout.length - end.length),
    errors: stderr,
    code: Number(code),
  };
}
