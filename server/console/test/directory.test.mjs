import assert from "node:assert/strict";
import { test } from "node:test";

import { Directory } from "../directory.js";

const AT = Date.parse("2026-01-01T00:00:00Z");

function item(conversation, minutes, offset) {
  return { conversation, title: null, last_offset: offset, last_at: new Date(AT + minutes * 60_000).toISOString() };
}

function entry(conversation, offset, unread, mentions = 0) {
  return { conversation, offset, read_up_to: 0, unread, mentions };
}

/** A directory of `tea` and `inn`; `inbox` is what the server answers. */
async function directory(inbox = async () => ({ conversations: [], more: false })) {
  const seen = { shown: [], strangers: 0 };
  const made = new Directory({
    api: { conversations: async () => ({ conversations: [item("inn", 1, 5), item("tea", 2, 7)], more: false }) },
    rpc: async (method, data) => {
      assert.deepEqual([method, data.unread], ["inbox.list", true]);
      return inbox();
    },
    onChange: (items) => (seen.shown = items.map(({ conversation, unread, mentions }) => [conversation, unread, mentions])),
    onStranger: () => (seen.strangers += 1),
    now: () => AT + 3_600_000,
  });
  await made.refresh();
  return { directory: made, seen };
}

test("what is unread stands beside each conversation, and what is new comes first", async () => {
  const { directory: list, seen } = await directory(async () => ({ conversations: [entry("inn", 5, 3, 1)], more: false }));
  assert.deepEqual(seen.shown, [["tea", 0, 0], ["inn", 0, 0]]);
  await list.readInbox();
  assert.deepEqual(seen.shown, [["tea", 0, 0], ["inn", 3, 1]]);
  list.heed(entry("inn", 6, 4, 1));
  assert.deepEqual(seen.shown, [["inn", 4, 1], ["tea", 0, 0]]);
  list.heed(entry("tea", 7, 0));
  assert.deepEqual(seen.shown, [["inn", 4, 1], ["tea", 0, 0]], "a marker that moved is nothing new");
});

test("what was told since the inbox was asked for is newer than the answer", async () => {
  let answer;
  const { directory: list, seen } = await directory(() => new Promise((resolve) => (answer = resolve)));
  list.heed(entry("tea", 7, 9));
  const reading = list.readInbox();
  list.heed(entry("inn", 6, 0));
  answer({ conversations: [entry("inn", 5, 3)], more: false });
  await reading;
  assert.deepEqual(seen.shown, [["inn", 0, 0], ["tea", 0, 0]], "tea was told before, and is not in the answer");
});

test("an answer that a later one overtook is dropped", async () => {
  const answers = [];
  const { directory: list, seen } = await directory(() => new Promise((resolve) => answers.push(resolve)));
  const both = [list.readInbox(), list.readInbox()];
  answers[1]({ conversations: [entry("tea", 7, 2)], more: false });
  answers[0]({ conversations: [entry("tea", 7, 1)], more: false });
  await Promise.all(both);
  assert.deepEqual(seen.shown, [["tea", 2, 0], ["inn", 0, 0]]);
});

test("who is no member has it no more, and a stranger is asked for once", async () => {
  const { directory: list, seen } = await directory();
  list.heed({ conversation: "tea", gone: true });
  assert.deepEqual(seen.shown, [["inn", 0, 0]]);
  list.heed(entry("den", 1, 0));
  list.heed(entry("den", 2, 1));
  assert.equal(seen.strangers, 1);
  list.heed({ conversation: "den", gone: true });
  list.heed(entry("den", 4, 1));
  assert.equal(seen.strangers, 2);
});
