/** One line for whoever runs the server; standard output is for the banner alone. */
export function complain(text: string): void {
  process.stderr.write(`kilofork: ${text}\n`);
}
