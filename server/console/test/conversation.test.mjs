import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Conversation } from "../conversation.js";
import { Outbox } from "../outbox.js";

const AT = "2026-01-02T03:04:05Z";
const settled = async () => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

const message = (offset, id, author = "bob") => ({
  offset, message_id: id, author, text: id, style: "plain", reply_to: null, occurred_at: AT,
  edited_at: null, redacted_at: null, redacted_by: null, reactions: [],
});
const page = (offset, messages, more = false, epoch = "k7") => ({ messages, more, offset, epoch });
const posted = (offset, id, actor = "bob") => ({
  offset, type: "MessagePosted", event_id: id, conversation: "tea", actor, occurred_at: AT, body: { text: id },
});

let pages;
let asked;
let subscribed;
let troubles;
let called;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  [pages, asked, subscribed, troubles, called] = [[], [], [], [], []];
});

function conversation() {
  const socket = {
    connected: true,
    subscribe: (channel, position, handlers) => subscribed.push({ channel, position, handlers }),
    unsubscribe: () => {},
    presence: () => {},
    rpc: (method, data) => {
      called.push([method, data]);
      return new Promise(() => {});
    },
  };
  const api = {
    conversation: async () => ({ conversation: "tea", members: [{ user: "ann", role: "owner" }] }),
    messages: async (id, query) => {
      asked.push(query);
      return pages.shift();
    },
  };
  const outbox = new Outbox({ rpc: socket.rpc, isConnected: () => true, onConfirmed: () => {}, onFailed: () => {} });
  const onTrouble = (error) => troubles.push(error);
  const quiet = () => {};
  return new Conversation({ id: "tea", me: "ann", api, socket, outbox, onChange: quiet, onArrival: quiet, onAbout: quiet, onTrouble });
}

const ids = ({ timeline }) => timeline.entries.map(({ id }) => id);

test("the subscription begins exactly where the page ends", async () => {
  pages = [page(12, [message(9, "a")])];
  const open = conversation();
  await open.open();
  assert.deepEqual(subscribed[0].position, { offset: 12, epoch: "k7" });
  subscribed[0].handlers.onEvent(posted(14, "b"), 14);
  assert.deepEqual(ids(open), ["a", "b"]);
});

test("where continuity is lost the page is read anew and subscribed from there", async () => {
  pages = [page(12, [message(9, "a")]), page(3, [message(2, "z")], false, "k8")];
  const open = conversation();
  await open.open();
  subscribed[0].handlers.onLost();
  await settled();
  assert.deepEqual(subscribed[1].position, { offset: 3, epoch: "k8" });
  assert.deepEqual(ids(open), ["z"]);
});

test("losing it again and again is slowed down", async () => {
  pages = [page(1, []), page(1, []), page(1, [])];
  const open = conversation();
  await open.open();
  subscribed[0].handlers.onLost();
  await settled();
  subscribed[1].handlers.onLost();
  await settled();
  assert.equal(subscribed.length, 2);
  mock.timers.tick(1_000);
  await settled();
  assert.equal(subscribed.length, 3);
});

test("a pending message that the new page holds is settled and not sent again", async () => {
  pages = [page(1, []), page(9, [message(9, "mine", "ann")])];
  const open = conversation();
  await open.open();
  open.post({ id: "mine", text: "mine", style: "plain", replyTo: null });
  assert.equal(open.timeline.get("mine").state, "pending");
  subscribed[0].handlers.onLost();
  await settled();
  assert.deepEqual(ids(open), ["mine"]);
  assert.equal(open.timeline.get("mine").state, "sent");
  assert.deepEqual(open.outbox.of("tea"), []);
});

test("older pages are asked for one at a time, by the first offset there is", async () => {
  pages = [page(12, [message(9, "b")], true), page(12, [message(4, "a")])];
  const open = conversation();
  await open.open();
  await Promise.all([open.loadOlder(), open.loadOlder()]);
  assert.deepEqual(asked.slice(1), [{ limit: 50, before: 9 }]);
  assert.deepEqual(ids(open), ["a", "b"]);
  assert.equal(open.loadOlder(), null);
});

test("a closed conversation takes nothing of what is still on its way", async () => {
  pages = [page(12, [message(9, "a")])];
  const open = conversation();
  const opening = open.open();
  open.close();
  await opening;
  assert.deepEqual(subscribed, []);
});

test("what is shown is read a little later, or when one looks elsewhere before that", async () => {
  for (const elsewhere of [false, true]) {
    [called, pages] = [[], [page(5, [message(5, "m-1")])]];
    const open = conversation();
    await open.open();
    open.markRead();
    open.markRead();
    assert.deepEqual(called, []);
    if (elsewhere) open.close();
    else mock.timers.tick(2_000);
    assert.deepEqual(called, [["read.move", { conversation: "tea", up_to: 5 }]]);
    open.close();
    mock.timers.tick(10_000);
    assert.equal(called.length, 1);
  }
});
