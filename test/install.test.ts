/** The package: what is in it, how it is built, and what it says where it is not built. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "./support/cleanup";

const BLANKS = "ein Pfad mit ü";

/** A folder, with a blank in its name, that has these files of the package. */
function copyOf(...paths: string[]): string {
  const folder = join(temporaryFolder(), BLANKS);
  for (const path of paths) cpSync(path, join(folder, path), { recursive: true });
  return folder;
}

function node(folder: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const options = { cwd: folder, encoding: "utf8", env: { ...process.env, ...env } } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
  return { code: status, stdout, stderr };
}

describe("a package that is not built", () => {
  const dist = ["dist/kilofork.cjs", "dist/client-worker.cjs"];
  const folder = () => copyOf("bin", ...dist, "package.json");

  test("has its version", () => {
    expect(node(folder(), ["bin/kilofork.cjs", "--version"])).toEqual({
      ...{
        code: 0,
        stderr: "",
        stdout: `${JSON.parse(readFileSync("package.json", "utf8")).version}\n`,
      },
    });
  });

  test.each([[["serve"]], [["client", "127.0.0.1", "1", "1", "a:b"]], [["demo"]], [["limit"]]])(
    "says in one line how to build it: %s",
    (args) => {
      const { code, stderr } = node(folder(), ["bin/kilofork.cjs", ...args]);
      expect(stderr).toMatch(
        /^kilofork: the native part is not built; build it, with .*: npm run install --prefix '.* mit ü'\n$/,
      );
      expect(code).toBe(1);
    },
  );

  test("says so, too, when only the supervisor is missing", () => {
    const package_ = folder();
    cpSync("build/Release/kilofork.node", join(package_, "build/Release/kilofork.node"));
    const serve = ["bin/kilofork.cjs", "serve", "127.0.0.1", "0", "--log", join(package_, "log")];
    const { code, stderr } = node(package_, serve);
    expect(stderr).toMatch(
      /^kilofork: the supervisor is not built: npm run install --prefix '.*'\n$/,
    );
    expect(code).toBe(1);
  });
});

describe("the build", () => {
  test("compiles in a folder with a blank and an umlaut", { timeout: 120_000 }, () => {
    const inputs = [
      "binding.gyp",
      "package.json",
      "scripts",
      "native",
      "node_modules/node-addon-api",
    ];
    const folder = copyOf(...inputs);
    const gyp = resolve("node_modules/node-gyp/bin/node-gyp.js");
    expect(node(folder, [gyp, "configure"])).toMatchObject({ code: 0 });
    const objects = [
      "kilofork/native/addon/notify.o", // includes node-addon-api
      "kilofork-supervisor/native/core/base/clock.o",
    ];
    const made = spawnSync(
      "make",
      objects.map((name) => `Release/obj.target/${name}`),
      {
        cwd: join(folder, "build"),
        env: { ...process.env, BUILDTYPE: "Release" },
        encoding: "utf8",
      },
    );
    expect(made.stderr).toBe("");
    expect(made.status).toBe(0);
  });

  test("links the supervisor statically, or else dynamically and names the packages", () => {
    const script = resolve("scripts/supervisor-link.mjs");
    const folder = temporaryFolder();
    expect(node(folder, [script])).toEqual({ code: 0, stdout: "-static\n-no-pie\n", stderr: "" });
    const without = node(folder, [script], { CXX: "false" });
    expect(without).toMatchObject({ code: 0, stdout: "-no-pie\n-Wl,-z,now\n" });
    expect(without.stderr).toMatch(
      /^no static libraries, .*dnf install glibc-static libstdc\+\+-static\)\n$/,
    );
  });

  test("without esbuild (npm ci --omit=dev) says what is missing, or leaves dist as it is", () => {
    const folder = copyOf("scripts");
    expect(node(folder, ["scripts/build.mjs"])).toMatchObject({
      code: 1,
      stderr:
        "kilofork: esbuild is not installed, so dist cannot be built; install it, too: npm install --include=dev\n",
    });
    mkdirSync(join(folder, "dist"));
    writeFileSync(join(folder, "dist/kilofork.cjs"), "");
    expect(node(folder, ["scripts/build.mjs"])).toMatchObject({
      code: 0,
      stderr: "kilofork: esbuild is not installed, so dist stays as it is\n",
    });
  });
});

describe("the tarball", () => {
  const [packed] = JSON.parse(
    spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { encoding: "utf8" })
      .stdout,
  );
  const files: string[] = packed.files.map(({ path }: { path: string }) => path);
  const isPacked = (path: string) =>
    files.some((file) => file === path || file.startsWith(`${path.replace(/\/$/, "")}/`));
  const { dependencies, bin } = JSON.parse(readFileSync("package.json", "utf8"));

  test("has all that its pages link to", () => {
    const pages = files.filter((file) => file.endsWith(".md"));
    expect(pages).toContain("SECURITY.md");
    for (const page of pages) {
      const text = readFileSync(page, "utf8").replace(/^```[\s\S]*?^```/gm, "");
      const links = [...text.matchAll(/\]\(([^)\s#]+)[^)]*\)|^\[[^\]]+\]: ([^\s#]+)/gm)]
        .map(([, inline, named]) => inline ?? named ?? "")
        .filter((target) => !/^https?:/.test(target))
        .map((target) => join(dirname(page), target));
      expect({ page, missing: links.filter((path) => !isPacked(path)) }).toEqual({
        page,
        missing: [],
      });
    }
  });

  test("has what it runs and is built from, and nothing that is made", () => {
    const run = ["dist/kilofork.cjs", "dist/client-worker.cjs", ...Object.values<string>(bin)];
    const build = ["binding.gyp", "scripts/rooms.mjs", "scripts/supervisor-link.mjs"];
    for (const path of [...run, ...build, "contrib/kilofork.service"])
      expect({ path, isPacked: isPacked(path) }).toEqual({ path, isPacked: true });
    expect(files.filter((file) => /^build|\.map$|^node_modules/.test(file))).toEqual([]);
  });

  test("installs no dependency that is bundled, and bundles none that is installed", () => {
    const bundles = ["dist/kilofork.cjs", "dist/client-worker.cjs"].map((path) =>
      readFileSync(path, "utf8"),
    );
    for (const bundle of bundles) {
      const bundled = [...bundle.matchAll(/^ *\/\/ node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)].map(
        ([, name]) => name,
      );
      expect(bundled).toContain("hdr-histogram-js");
      expect(bundled.filter((name) => name && name in dependencies)).toEqual([]);
      const required = [...bundle.matchAll(/\brequire\("([^".]+)"\)/g)].map(
        ([, name]) => name ?? "",
      );
      expect(required.filter((name) => !isBuiltin(name))).toEqual([]);
    }
    expect(Object.keys(dependencies).sort()).toEqual(["node-addon-api", "node-gyp"]); // for the build
  });
});
