/** The pages: every link leads somewhere. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

const pages = [
  ...readdirSync("."),
  ...readdirSync("docs", { recursive: true }).map((name) => join("docs", String(name))),
].filter((name) => name.endsWith(".md"));

/** The anchors of a page: its headings as GitHub makes them, and `<a id>`. */
function anchorsOf(page: string): Set<string> {
  const text = readFileSync(page, "utf8").replace(/^```[\s\S]*?^```/gm, "");
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
  const ids = [...text.matchAll(/<a id="([^"]+)"/g)].map(([, id = ""]) => id);
  return new Set([...headings, ...ids]);
}

test.each(pages)("the links of %s lead somewhere", (page) => {
  const text = readFileSync(page, "utf8").replace(/^```[\s\S]*?^```/gm, "");
  const inline = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  const named = [...text.matchAll(/^\[[^\]]+\]: (\S+)$/gm)].map(([, target = ""]) => target);
  const dead = [...inline, ...named].filter((target) => {
    if (/^https?:/.test(target)) return false;
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? page : join(dirname(page), path);
    return (
      !existsSync(file) ||
      (anchor !== undefined && file.endsWith(".md") && !anchorsOf(file).has(anchor))
    );
  });
  expect(dead).toEqual([]);
});

test("what is started as a service or in a container is the program itself, not npx", () => {
  for (const name of readdirSync("contrib"))
    expect(readFileSync(join("contrib", name), "utf8")).not.toContain("npx");
  expect(readFileSync("contrib/kilofork.service", "utf8")).toMatch(
    /^ExecStart=\/usr\/bin\/node .*\/bin\/kilofork\.cjs serve /m,
  );
  expect(readFileSync("docs/operations.md", "utf8")).toContain('`CMD ["kilofork", "serve", ');
  expect(readFileSync("README.md", "utf8")).toContain(
    "SIGTERM to `npx kilofork serve` ends npx alone",
  );
});
