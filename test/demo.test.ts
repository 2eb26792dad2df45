/** The demo: what a new user sees first. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { drawInFlight } from "../src/demo/picture";
import { run } from "./support/command";

test("proves its clients, and names the folder with the evidence", async () => {
  const { code, stdout } = await run("demo", "--clients", "100", "--work", "500ms");
  const folder = /^PROVED {2}100 of 100 concurrent\. {3}Evidence: (\S+)$/m.exec(stdout)?.[1] ?? "";
  expect(code).toBe(0);
  expect(stdout).toMatch(/client +100 greeted by 100 pids, unanswered/);
  expect(stdout).toMatch(/log +100 received, not completed/);
  expect(stdout).toMatch(/memory +100 slots working/);
  expect(stdout).toMatch(/kernel +100 accepted connections/);
  expect(stdout).toMatch(/100 replies <= 100 counted <= 100 completed +balanced/);
  const audited = await run(
    ...["audit", join(folder, "server.log"), "--client", join(folder, "client.json")],
    ...["--at-least", "100"],
  );
  expect(audited.code).toBe(0);
  rmSync(folder, { recursive: true });
});

test("with a child too few it is NOT PROVED: exit 1", async () => {
  const args = ["--clients", "50", "--children", "49", "--work", "500ms", "--json"];
  const { code, stdout } = await run("demo", ...args);
  const result = JSON.parse(stdout);
  expect(result).toMatchObject({
    ok: false,
    concurrent: 49,
    clients: 50,
    witnesses: { client: { peak: 49 }, log: { peak: 49 }, memory: 49, kernel: 49 },
  });
  expect(code).toBe(1);
  expect(existsSync(join(result.evidence, "client.json"))).toBe(true);
  rmSync(result.evidence, { recursive: true });
});

test("the picture is full only where all are in flight", () => {
  const points = [
    { timeMs: 0, inFlight: 0 },
    { timeMs: 10, inFlight: 10 },
    { timeMs: 90, inFlight: 10 },
    { timeMs: 100, inFlight: 0 },
  ];
  const [top = "", half = ""] = drawInFlight(points, 10, 50);
  expect(top).toMatch(/^10 \| {1,5}:#{30,}:?/);
  expect(half).toContain("#");
  const [missing = ""] = drawInFlight(points, 11, 50);
  expect(missing).not.toMatch(/[#:]/);
  expect(drawInFlight([], 10, 50)).toEqual([]);
  expect(drawInFlight(points, 10, 0).at(-1)).toMatch(/^ +0 s/); // no work: a tick a column
});
