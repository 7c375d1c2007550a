import assert from "node:assert/strict";
import { test } from "node:test";

import { TEXT_BYTES_MAX, freshId, meant, userOf, whyNot } from "../words.js";

test("texts at their limit and one past it, counted in bytes", () => {
  assert.equal(whyNot("é".repeat(TEXT_BYTES_MAX / 2)), null);
  assert.match(whyNot(`${"é".repeat(TEXT_BYTES_MAX / 2)}x`), /1 bytes too long/);
});

test("white space alone and control characters are refused", () => {
  for (const blank of ["", " \n\t", "\u3000\u2028"]) assert.match(whyNot(blank), /Write something/);
  assert.equal(whyNot(" a\n\tb "), null);
  assert.match(whyNot("a\u0007"), /U\+0007/);
});

test("/me says what one does, and only at the beginning", () => {
  assert.deepEqual(meant("/me waves "), { style: "action", text: "waves " });
  for (const plain of ["/me", "/me ", "/mend", " /me waves"]) assert.deepEqual(meant(plain), { style: "plain", text: plain });
});

test("ids are 20 letters and digits, and fresh", () => {
  const ids = new Set(Array.from({ length: 200 }, freshId));
  assert.equal(ids.size, 200);
  for (const id of ids) assert.match(id, /^[A-Za-z0-9]{20}$/);
});

test("a token says whose it is, if it can be read", () => {
  const body = Buffer.from(JSON.stringify({ sub: "Ünï" })).toString("base64url");
  assert.equal(userOf(`x.${body}.y`), "Ünï");
  for (const odd of ["", "abc", "a.%%%.c"]) assert.equal(userOf(odd), null);
});
