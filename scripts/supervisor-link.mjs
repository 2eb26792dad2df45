// Prints the flags by which binding.gyp links the supervisor, one a line: statically, which makes each
// child smaller, or dynamically where the compiler finds no static C and C++ libraries.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PACKAGES = "Fedora, RHEL: dnf install glibc-static libstdc++-static";

if (linksStatically()) {
  process.stdout.write("-static\n-no-pie\n");
} else {
  process.stderr.write(
    `no static libraries, so the supervisor is linked dynamically, and each child takes more memory (${PACKAGES})\n`,
  );
  // Children must not load or bind anything: their filter forbids it.
  process.stdout.write("-no-pie\n-Wl,-z,now\n");
}

/** The compiler may be a command with arguments, as make takes it from the environment. */
function linksStatically() {
  const folder = mkdtempSync(join(tmpdir(), "kilofork-link-"));
  try {
    const command = `${process.env.CXX || "g++"} -static -no-pie -x c++ - -o "$PROBE"`;
    const input =
      "#include <string>\nint main(int count, char**) { return std::to_string(count).empty(); }";
    const env = { ...process.env, PROBE: join(folder, "probe") };
    return spawnSync("sh", ["-c", command], { input, env }).status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
