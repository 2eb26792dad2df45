/** The name of the file that a log goes on in after a failed sync: `/tmp/myserver.log-1`; 0 is none. */
export function numberedLog(path: string, number: number): string {
  return number === 0 ? path : `${path}-${number}`;
}
