/**
 * Text that a file, a segment or another process gave, made fit to be printed: whoever wrote it must
 * not control the reader's terminal.
 */

/** Replaces control characters, those of lines and columns included. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, "?");
}
