/** Names of log files. */

export const DEFAULT_LOG = "/tmp/myserver.log";

/** The file that continues a log after a failed sync: `/tmp/myserver.log-1`. 0 is the log itself. */
export function numberedLog(path: string, number: number): string {
  return number === 0 ? path : `${path}-${number}`;
}
