/** The protocol in TypeScript: its parser, names of users, and the client's templates. */
import { describe, expect, test } from "vitest";
import { clientTemplates, parseRequest, problemOfUser, refusalLines } from "../src/base/protocol";
import { vectors } from "./support/vectors";

// The native parser meets them in native/test/protocol_test.cpp.
test.each(vectors)("the parser meets the vector: $name", ({ line, ended, user, message }) => {
  const request = parseRequest(Buffer.from(line, "latin1"), ended);
  const asText = request && {
    user: request.user.toString("latin1"),
    message: request.message.toString("latin1"),
  };
  expect(asText).toEqual(user === null ? null : { user, message });
});

test("a user may have one byte, and a message none", () => {
  expect(parseRequest(Buffer.from("a:"), true)).toEqual({
    user: Buffer.from("a"),
    message: Buffer.from(""),
  });
});

test("a refusal begins with its code", () => {
  for (const [code, line] of Object.entries(refusalLines(77)))
    expect(line).toMatch(new RegExp(`^error ${code}: \\S`));
  expect(refusalLines(77)["too-long"]).toContain(" 77 bytes");
});

describe("a user's name", () => {
  test.each(["a", "x".repeat(31), "ä".repeat(15), "root;", "<tor", "'"])("may be %j", (name) => {
    expect(problemOfUser(name)).toBeNull();
  });

  test.each([
    ["", "has 0 bytes"],
    ["x".repeat(32), "has 32 bytes"],
    ["ä".repeat(16), "has 32 bytes"],
    ...[" a", "a\t", "a:b", 'a"', "a\\", "\x7f", "\u009b", "\u202e"].map((name) => [
      name,
      "contains",
    ]),
    ["a<torn>", "contains <torn>"],
  ])("may not be %j", (name, problem) => {
    expect(problemOfUser(name)).toContain(problem);
  });
});

describe("the client's templates", () => {
  test("have the number at the end of the message, in request and reply", () => {
    expect(clientTemplates("arijort:la la", "999")).toEqual({
      greeting: "this is server thread {pid}\n",
      request: "arijort:la la {n}\n",
      reply: 'server {pid} recvd message "la la {n}" from user arijort\n',
    });
  });

  test("take braces and names of fields in a message literally", () => {
    const { request, reply } = clientTemplates("{user:{message} {n}", "9");
    expect(request).toBe("{{user:{{message} {{n} {n}\n");
    expect(reply).toBe('server {pid} recvd message "{{message} {{n} {n}" from user {{user\n');
  });

  test("keep a carriage return at the end of a message", () => {
    expect(clientTemplates("arijort:x\r", "9").reply).toContain('"x\r {n}"');
  });

  test.each(["", "no colon", ":no name", `${"x".repeat(32)}:long name`, "arijort:two\nlines"])(
    "do not exist for %j",
    (message) => {
      expect(() => clientTemplates(message, "9")).toThrow("does not conform to the protocol");
    },
  );

  test("have the longest line of the server at most, with the longest number", () => {
    const message = `arijort:${"x".repeat(1024 - "arijort: 999\n".length)}`;
    expect(clientTemplates(message, "999").request).toContain("xxx {n}\n");
    expect(() => clientTemplates(message, "9999")).toThrow("lines of 1025 bytes");
    expect(() => clientTemplates(`${message}x`, "999")).toThrow("lines of 1025 bytes");
  });
});
