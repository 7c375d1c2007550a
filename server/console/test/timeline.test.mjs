import assert from "node:assert/strict";
import { test } from "node:test";

import { KEPT_MAX, Timeline } from "../timeline.js";

const AT = "2026-01-02T03:04:05Z";

function event(offset, type, body, { actor = "bob", id = `e${offset}` } = {}) {
  return { offset, type, event_id: id, conversation: "tea", actor, occurred_at: AT, recorded_at: AT, body };
}

function posted(offset, id, more = {}) {
  return event(offset, "MessagePosted", { text: `text of ${id}`, style: "plain", reply_to: null, ...more.body }, { id, ...more });
}

function message(offset, id, more = {}) {
  const none = { style: "plain", reply_to: null, edited_at: null, redacted_at: null, redacted_by: null, reactions: [] };
  return { offset, message_id: id, author: "bob", text: `text of ${id}`, occurred_at: AT, ...none, ...more };
}

function page(offset, messages, more = false) {
  return { messages, more, offset, epoch: "k7" };
}

function loaded(...messages) {
  const timeline = new Timeline("ann");
  timeline.load(page(messages.at(-1)?.offset ?? 0, messages));
  return timeline;
}

const ids = (timeline) => timeline.entries.map((entry) => entry.id ?? entry.type);

test("posted messages stand in the order of their offsets", () => {
  const timeline = loaded(message(2, "a"));
  timeline.apply(posted(5, "b", { body: { style: "action", reply_to: "a" } }));
  assert.deepEqual(ids(timeline), ["a", "b"]);
  const { text, style, replyTo, author, at, state } = timeline.get("b");
  assert.deepEqual({ text, style, replyTo, author, at, state }, {
    text: "text of b", style: "action", replyTo: "a", author: "bob", at: AT, state: "sent",
  });
  assert.equal(timeline.position, 5);
});

test("what I said while a page was read stays behind it, unless it went to another log", () => {
  const timeline = new Timeline("ann");
  timeline.addPending({ id: "mine", text: "mine", at: AT });
  timeline.confirm("mine", 13);
  timeline.load(page(12, [message(9, "a")]));
  assert.deepEqual(ids(timeline), ["a", "mine"]);
  timeline.apply(posted(13, "mine", { actor: "ann" }));
  timeline.apply(posted(14, "b"));
  assert.deepEqual(ids(timeline), ["a", "mine", "b"]);
  timeline.load(page(13, [message(9, "a"), message(13, "mine", { author: "ann" })]));
  assert.deepEqual(ids(timeline), ["a", "mine"], "what others said comes again");
  timeline.load({ ...page(5, []), epoch: "other" });
  assert.deepEqual(ids(timeline), []);
});

test("an event at or below the position changes nothing", () => {
  const timeline = loaded(message(9, "a"));
  assert.equal(timeline.apply(posted(9, "b")), null);
  assert.equal(timeline.apply(posted(8, "c")), null);
  timeline.apply(posted(10, "d"));
  timeline.apply(posted(10, "d"));
  assert.deepEqual(ids(timeline), ["a", "d"]);
});

test("an edit replaces the text, and quotes of it are drawn again", () => {
  const timeline = loaded(message(1, "a"), message(2, "b", { reply_to: "a" }));
  const before = timeline.get("b").revision;
  timeline.apply(event(3, "MessageEdited", { message_id: "a", text: "better" }));
  assert.equal(timeline.get("a").text, "better");
  assert.equal(timeline.get("a").editedAt, AT);
  assert.equal(timeline.get("b").revision, before + 1);
});

test("a redaction takes the text away and says by whom", () => {
  const timeline = loaded(message(1, "a"));
  timeline.apply(event(2, "MessageRedacted", { message_id: "a" }, { actor: "cay" }));
  const { text, redactedAt, redactedBy, revision } = timeline.get("a");
  assert.deepEqual({ text, redactedAt, redactedBy, revision }, { text: null, redactedAt: AT, redactedBy: "cay", revision: 1 });
});

test("reactions come and go, each person once", () => {
  const timeline = loaded(message(1, "a", { reactions: [{ emoji: "👍", users: ["cay"] }] }));
  timeline.apply(event(2, "ReactionAdded", { message_id: "a", emoji: "👍" }));
  timeline.apply(event(3, "ReactionAdded", { message_id: "a", emoji: "👍" }));
  assert.deepEqual([...timeline.get("a").reactions.get("👍")], ["cay", "bob"]);
  timeline.apply(event(4, "ReactionRemoved", { message_id: "a", emoji: "👍" }));
  timeline.apply(event(5, "ReactionRemoved", { message_id: "a", emoji: "👍" }, { actor: "cay" }));
  assert.equal(timeline.get("a").reactions.size, 0);
});

test("what happens to a message that is not loaded is passed over", () => {
  const timeline = loaded(message(1, "a"));
  timeline.apply(event(2, "MessageEdited", { message_id: "gone", text: "x" }));
  assert.deepEqual(ids(timeline), ["a"]);
  assert.equal(timeline.position, 2);
});

for (const [type, body] of [
  ["ConversationCreated", { title: "Tea", visibility: "open", members: [] }],
  ["ConversationChanged", { title: "Coffee", archived: null }],
  ["MemberJoined", { member: "bob" }],
  ["MemberLeft", { parting_words: "bye" }],
  ["MemberRemoved", { member: "cay" }],
  ["MemberRenamed", { to: "rob" }],
  ["RoleChanged", { member: "cay", role: "moderator" }],
]) {
  test(`${type} becomes a notice`, () => {
    const timeline = loaded(message(1, "a"));
    const entry = timeline.apply(event(2, type, body));
    assert.deepEqual([entry.kind, entry.type, entry.actor, entry.body], ["notice", type, "bob", body]);
    assert.equal(timeline.entries.at(-1), entry);
  });
}

test("a read marker moves the position and shows nothing", () => {
  const timeline = loaded(message(1, "a"));
  assert.equal(timeline.apply(event(2, "ReadMarkerMoved", { up_to: 1 })), null);
  assert.deepEqual(ids(timeline), ["a"]);
  assert.equal(timeline.position, 2);
});

test("a pending message is confirmed by its answer, and its event makes no second one", () => {
  const timeline = loaded(message(1, "a"));
  timeline.addPending({ id: "mine", text: "hi", at: AT });
  assert.equal(timeline.get("mine").state, "pending");
  timeline.confirm("mine", 7);
  assert.equal(timeline.position, 1, "an answer is no event: what lies before it may still come");
  timeline.apply(posted(5, "other"));
  timeline.apply(posted(7, "mine", { actor: "ann" }));
  assert.deepEqual(ids(timeline), ["a", "other", "mine"]);
  assert.equal(timeline.get("mine").state, "sent");
});

test("a pending message is confirmed by its event, and the later answer changes nothing", () => {
  const timeline = loaded(message(1, "a"));
  timeline.addPending({ id: "mine", text: "hi", at: "2026-01-01T00:00:00Z" });
  timeline.apply(posted(7, "mine", { actor: "ann" }));
  const { revision } = timeline.get("mine");
  timeline.confirm("mine", 7);
  assert.deepEqual(ids(timeline), ["a", "mine"]);
  assert.equal(timeline.get("mine").at, AT);
  assert.equal(timeline.get("mine").revision, revision);
});

test("pending messages that are confirmed out of order stand where the log has them", () => {
  const timeline = loaded(message(1, "a"));
  for (const id of ["x", "y"]) timeline.addPending({ id, text: id, at: AT });
  timeline.confirm("y", 4);
  assert.deepEqual(ids(timeline), ["a", "y", "x"]);
  timeline.confirm("x", 3);
  assert.deepEqual(ids(timeline), ["a", "x", "y"]);
});

test("a refused message waits, is sent again behind the others, or is dropped", () => {
  const timeline = loaded();
  for (const id of ["x", "y"]) timeline.addPending({ id, text: id, at: AT });
  timeline.fail("x", "too many");
  assert.deepEqual([timeline.get("x").state, timeline.get("x").reason], ["failed", "too many"]);
  timeline.discard("y");
  assert.deepEqual(ids(timeline), ["x", "y"], "only what was refused can be dropped");
  timeline.retry("x");
  assert.deepEqual(ids(timeline), ["y", "x"]);
  timeline.fail("y", "no");
  timeline.discard("y");
  assert.deepEqual(ids(timeline), ["x"]);
});

test("a new page keeps what is pending, once", () => {
  const timeline = loaded(message(1, "a"));
  for (const id of ["x", "y"]) timeline.addPending({ id, text: id, at: AT });
  timeline.load(page(20, [message(20, "x", { author: "ann" })]));
  assert.deepEqual(ids(timeline), ["x", "y"]);
  assert.deepEqual(timeline.entries.map((entry) => entry.state), ["sent", "pending"]);
});

test("older pages go before, without doubles", () => {
  const timeline = new Timeline("ann");
  timeline.load(page(9, [message(8, "c"), message(9, "d")], true));
  assert.equal(timeline.begin, 8);
  timeline.prepend(page(9, [message(3, "a"), message(4, "b"), message(8, "c")], false));
  assert.deepEqual(ids(timeline), ["a", "b", "c", "d"]);
  assert.equal(timeline.older, false);
});

test("an older page that was read before an edit is brought up to date", () => {
  const timeline = new Timeline("ann");
  timeline.load(page(9, [message(9, "c")], true));
  timeline.apply(event(12, "MessageEdited", { message_id: "a", text: "late" }));
  timeline.prepend(page(11, [message(1, "a")]));
  assert.equal(timeline.get("a").text, "late");
});

test("what a page knew already is not done again", () => {
  const timeline = new Timeline("ann");
  timeline.load(page(9, [message(9, "c")], true));
  timeline.prepend(page(20, [message(1, "a")]));
  timeline.apply(event(15, "ReactionAdded", { message_id: "a", emoji: "👍" }));
  assert.equal(timeline.get("a").reactions.size, 0, "it was taken back before the page was read");
});

test("the list is trimmed at the far end, at the limit and one past it", () => {
  const all = Array.from({ length: KEPT_MAX }, (_, at) => message(at + 1, `m${at + 1}`));
  const timeline = loaded(...all);
  timeline.trim("older");
  assert.equal(timeline.entries.length, KEPT_MAX);
  assert.equal(timeline.older, false);
  timeline.apply(posted(KEPT_MAX + 1, "new"));
  timeline.trim("older");
  assert.equal(timeline.entries.length, KEPT_MAX);
  assert.equal(timeline.older, true);
  assert.equal(timeline.begin, 2);
  assert.equal(timeline.get("m1"), undefined);
});

test("beyond a trimmed newer end nothing is shown until the pages have closed the gap", () => {
  const timeline = loaded(...Array.from({ length: KEPT_MAX + 2 }, (_, at) => message(at + 1, `m${at + 1}`)));
  timeline.trim("newer");
  assert.equal(timeline.newer, true);
  assert.equal(timeline.end, KEPT_MAX);
  timeline.apply(posted(2000, "live"));
  assert.equal(timeline.get("live"), undefined);
  const rest = [message(1001, "m1001"), message(1002, "m1002")];
  timeline.append(page(1500, rest));
  assert.equal(timeline.newer, true, "the page was read before the live event");
  timeline.append(page(2000, [message(2000, "live")]));
  assert.equal(timeline.newer, false);
  timeline.apply(posted(2001, "next"));
  assert.deepEqual(ids(timeline).slice(-4), ["m1001", "m1002", "live", "next"]);
});

test("the last own message that can be edited is found", () => {
  const timeline = loaded(message(1, "a", { author: "ann" }), message(2, "b", { author: "ann", text: null }), message(3, "c"));
  timeline.addPending({ id: "p", text: "p", at: AT });
  assert.equal(timeline.lastOwn().id, "a");
});
