import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Outbox } from "../outbox.js";
import { CallError } from "../socket.js";

const settled = async () => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

let calls;
let told;
let connected;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  [calls, told, connected] = [[], [], true];
});

function outbox() {
  return new Outbox({
    rpc: (method, data) => new Promise((resolve, reject) => calls.push({ method, id: data.client_message_id, data, resolve, reject })),
    isConnected: () => connected,
    onConfirmed: ({ id }, offset) => told.push(`${id} at ${offset}`),
    onFailed: ({ id, reason }) => told.push(`${id}: ${reason}`),
    random: () => 0,
  });
}

const item = (id, conversation = "tea") => ({ id, conversation, text: id, style: "plain", replyTo: null });
const lost = new CallError({ temporary: true });

test("a message leaves when the one before is in the log", async () => {
  const box = outbox();
  box.post(item("a"));
  box.post(item("b"));
  assert.deepEqual(calls.map(({ id }) => id), ["a"]);
  calls[0].resolve({ offset: 5 });
  await settled();
  assert.deepEqual(calls.map(({ id }) => id), ["a", "b"]);
  assert.deepEqual(told, ["a at 5"]);
});

test("after a lost connection all go again, in order, with their ids", async () => {
  const box = outbox();
  box.post(item("a"));
  box.post(item("b"));
  connected = false;
  calls[0].reject(lost);
  await settled();
  assert.equal(calls.length, 1);
  connected = true;
  box.resume();
  calls[1].resolve({ offset: 5 });
  await settled();
  calls[2].resolve({ offset: 6 });
  await settled();
  assert.deepEqual(calls.map(({ id }) => id), ["a", "a", "b"]);
  assert.deepEqual(told, ["a at 5", "b at 6"]);
  assert.deepEqual(box.of("tea"), []);
});

test("a temporary refusal is tried again after a pause and holds back what follows", async () => {
  const box = outbox();
  box.post(item("a"));
  box.post(item("b"));
  calls[0].reject(new CallError({ code: 100, message: "later", temporary: true }));
  await settled();
  mock.timers.tick(299);
  await settled();
  assert.equal(calls.length, 1);
  mock.timers.tick(1);
  await settled();
  assert.deepEqual(calls.map(({ id }) => id), ["a", "a"]);
});

test("a final refusal is told and lets the next go; retry sends the same id", async () => {
  const box = outbox();
  box.post(item("a"));
  box.post(item("b"));
  calls[0].reject(new CallError({ code: 103, message: "not yours" }));
  await settled();
  calls[1].resolve({ offset: 9 });
  await settled();
  assert.deepEqual(told, ["a: not yours", "b at 9"]);
  assert.deepEqual(box.of("tea").map(({ state }) => state), ["failed"]);
  box.retry("tea", "a");
  assert.equal(calls.at(-1).id, "a");
});

test("what its event confirmed is not sent again and not told twice", async () => {
  const box = outbox();
  box.post(item("a"));
  connected = false;
  box.settle("tea", "a");
  calls[0].reject(lost);
  await settled();
  connected = true;
  box.resume();
  await settled();
  assert.equal(calls.length, 1);
  assert.deepEqual(told, []);
});

test("conversations do not wait for each other", () => {
  const box = outbox();
  box.post(item("a", "tea"));
  box.post(item("b", "garden"));
  assert.deepEqual(calls.map(({ id }) => id), ["a", "b"]);
});
