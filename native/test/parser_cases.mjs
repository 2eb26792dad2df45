// Writes lines, and what the C++ parser of requests must make of them, for protocol_test.cpp: the
// vectors of test/protocol-vectors.json, then random lines with the results of the TypeScript parser.
// So both parsers are compared with the vectors and with each other.
//
//   node native/test/parser_cases.mjs FILE
//
// A case is one line of words: name, ended (1 or 0), line, user, message. Each is in hexadecimal,
// `-` if it is empty; a line that is no request has `none` as its user and message.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const RANDOM_LINES = 20_000;

async function loadParser() {
  const [{ text }] = buildSync({
    stdin: { contents: 'export { parseRequest } from "./src/base/protocol";', resolveDir: root },
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
  }).outputFiles;
  const { parseRequest } = await import(`data:text/javascript,${encodeURIComponent(text)}`);
  return parseRequest;
}

function* vectors() {
  const file = readFileSync(join(root, "test/protocol-vectors.json"), "utf8");
  for (const { name, line, ended, user, message } of JSON.parse(file).vectors) {
    const request = user === null ? null : { user: latin1(user), message: latin1(message) };
    yield { name, line: latin1(line), ended, request };
  }
}

// Short lines, in which the bytes of the grammar are frequent: colon, carriage return, space.
function* randomLines(parseRequest) {
  let state = 12;
  const below = (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes
    return Math.floor((state / 2 ** 32) * bound);
  };
  for (let i = 0; i < RANDOM_LINES; i++) {
    const bytes = Array.from({ length: below(41) }, () =>
      below(4) === 0 ? (0x3a0d20 >> (8 * below(3))) & 0xff : below(256),
    );
    const line = Buffer.from(bytes);
    const ended = below(2) === 1;
    yield { name: `random line ${i}`, line, ended, request: parseRequest(line, ended) };
  }
}

const latin1 = (text) => Buffer.from(text, "latin1");
const word = (bytes) => bytes.toString("hex") || "-";

const cases = [...vectors(), ...randomLines(await loadParser())].map(
  ({ name, line, ended, request }) =>
    [
      word(Buffer.from(name)),
      ended ? 1 : 0,
      word(line),
      request ? word(request.user) : "none",
      request ? word(request.message) : "none",
    ].join(" "),
);
writeFileSync(process.argv[2], `${cases.join("\n")}\n`);
