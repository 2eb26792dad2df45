/**
 * What a test file may leave behind: processes, shared memory, folders. After each test, a process or
 * shared memory that is left is ended, and fails the test; folders are deleted.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, onTestFinished } from "vitest";
import { Scoreboard } from "../../src/native/scoreboard";
import { TaggedProcesses } from "./processes";
import { until } from "./wait";

/** All processes of this test file, with the children of children. */
export const processes = new TaggedProcesses("KILOFORK_TEST");
const folders: string[] = [];

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "kilofork-test-"));
  folders.push(folder);
  return folder;
}

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

function endProcess(pid: number): void {
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
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  expect({ left, segments }, "left behind").toEqual({ left: [], segments: [] });
});
