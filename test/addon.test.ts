/** The addon: when it is loaded, and that its enumerations are those of TypeScript. */
import { execFile } from "node:child_process";
import { copyFileSync, cpSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { differencesOfEnumerations, ENUMERATIONS } from "../src/base/enumerations";
import { addonPath } from "../src/base/paths";
import { temporaryFolder } from "./support/cleanup";

describe("the enumerations of both languages", () => {
  test("are the same", () => {
    const { enumerations } = createRequire(__filename)(addonPath);
    expect(enumerations).toEqual(ENUMERATIONS);
    expect(differencesOfEnumerations(enumerations)).toEqual([]);
  });

  const { states = [], ...others } = ENUMERATIONS;
  test.each([
    ["lacks a name", { ...others, states: states.slice(0, -1) }, 'the addon lacks "stopping"'],
    ["has one more", { ...others, states: [...states, "new"] }, '"new" is in the addon only'],
    ["has another order", { ...others, states: states.toReversed() }, "the order differs"],
    ["lacks a list", others, 'the addon lacks "vacant"'],
    ["has a list more", { ...ENUMERATIONS, kinds: ["a"] }, 'kinds: "a" is in the addon only'],
  ])("an addon that %s is refused by name", (_, native, difference) => {
    const [found, ...more] = differencesOfEnumerations(native as typeof ENUMERATIONS);
    expect(found).toContain(difference);
    expect(more).toEqual([]);
  });
});

test("a clone that is not built says so in one line", async () => {
  const folder = temporaryFolder();
  cpSync("bin", join(folder, "bin"), { recursive: true });
  for (const name of ["kilofork", "myserver", "cclient"]) {
    await expect(promisify(execFile)(join(folder, "bin", name))).rejects.toMatchObject({
      code: 1,
      stdout: "",
      stderr: "kilofork: it is not built yet: npm install\n",
    });
  }
});

describe("without a built addon", () => {
  const copyWithoutIt = () => {
    const folder = temporaryFolder();
    for (const part of ["bin", "dist"]) cpSync(part, join(folder, part), { recursive: true });
    copyFileSync("package.json", join(folder, "package.json"));
    return (...args: string[]) =>
      promisify(execFile)(process.execPath, [join(folder, "bin", "kilofork.cjs"), ...args]);
  };

  test("--help and --version work", async () => {
    const run = copyWithoutIt();
    expect((await run("--help")).stdout).toContain("serve");
    expect((await run("client", "--help")).stdout).toContain("--barrier");
    expect((await run("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test("a log is audited", async () => {
    await expect(copyWithoutIt()("audit", "/dev/null")).rejects.toMatchObject({
      code: 3,
      stderr: "kilofork: /dev/null: no record of a server in it\n",
    });
  });

  test("a command that needs it says how to build it", async () => {
    await expect(copyWithoutIt()("client", "127.0.0.1", "1", "1", "a:b")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^kilofork: the native part is not built; build it, .*: npm run .*\n$/,
      ),
    });
  });
});
