/** Names of log files. */

export const DEFAULT_LOG = "/tmp/myserver.log";

/** The file that a log goes on in after its sync failed: `/tmp/myserver.log-1`; 0 is the first. */
export function numberedLog(path: string, number: number): string {
  return number === 0 ? path : `${path}-${number}`;
}
