/**
 * What a test file may leave behind: processes and shared memory. After each test, one that is left is
 * ended, and fails the test; then its folders are deleted.
 */
import { readdirSync } from "node:fs";
import { afterEach, expect, onTestFinished } from "vitest";
import { Scoreboard } from "../../src/native/scoreboard";
import { removeFolders, temporaryFolder } from "./folder"; // first: what is imported first cleans up last
import { TaggedProcesses } from "./processes";
import { until } from "./wait";

export { temporaryFolder };

/** All processes of this test file, with the children of children. */
export const processes = new TaggedProcesses("KILOFORK_TEST");

/** Removes a cgroup when all processes of the test have ended, also if the test has failed. */
export function forThisTest<Limit extends { remove(): Promise<void> }>(limit: Limit): Limit {
  onTestFinished(() => limit.remove());
  return limit;
}

/** The pids of all that this test file started; `name` chooses by the name of the process. */
export const ourProcesses = (name?: RegExp): number[] => processes.list(name);

export function segmentsOf(front: number): string[] {
  return readdirSync("/dev/shm").filter((name) => name.startsWith(`kilofork-${front}-`));
}

/** By SIGKILL, unless it has ended. */
export function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended meanwhile
  }
}

afterEach(async () => {
  const settled = () => ourProcesses().length === 0;
  await until("all processes have ended", settled, 5000).catch(() => {});
  const left = ourProcesses();
  for (const pid of left) endProcess(pid);
  await until("the processes left behind have ended", settled);
  const segments = processes.removeFronts().flatMap(segmentsOf);
  for (const name of segments) Scoreboard.sweep(`/${name}`);
  removeFolders();
  expect({ left, segments }, "left behind").toEqual({ left: [], segments: [] });
});
