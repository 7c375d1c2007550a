// Everything that the SDK offers, against the real server. Any failed assertion ends the script with an error.

import assert from "node:assert/strict";
import {
  ANN_TOKEN, BOB_TOKEN, CONVERSATION, EPOCH, EXPIRED_TOKEN, Log, client, done, line, next, pack, refusal, rpc, step,
} from "./kit.mjs";

const START = { offset: 0, epoch: EPOCH };
const ODD = "posted \u2028 <b>é</b> 🍵\n\ttail";

async function connected(options) {
  const one = client(options);
  const ready = next(one, "connected");
  one.connect();
  await ready;
  return one;
}

async function subscribed(one, options) {
  const subscription = one.newSubscription(CONVERSATION, { joinLeave: true, ...options });
  const log = new Log(subscription);
  const ready = next(subscription, "subscribed");
  subscription.subscribe();
  return { subscription, log, context: await ready };
}

function post(one, text, id) {
  return rpc(one, "message.post", { conversation: CONVERSATION, text, client_message_id: id });
}

await step("a wrong token is refused for good", async () => {
  const stranger = client({ token: `${ANN_TOKEN.slice(0, -4)}AAAA` });
  const ended = next(stranger, "disconnected");
  stranger.connect();
  assert.equal((await ended).code, 3500);
  assert.equal(stranger.state, "disconnected");
});

await step("an expired token is renewed", async () => {
  let asked = 0;
  const late = client({
    token: EXPIRED_TOKEN,
    getToken: async () => {
      asked += 1;
      return ANN_TOKEN;
    },
  });
  const ready = next(late, "connected");
  late.connect();
  await ready;
  assert.equal(asked, 1);
  late.disconnect();
});

await step("an expired token that nobody renews is the end", async () => {
  const late = client({ token: EXPIRED_TOKEN });
  const ended = next(late, "disconnected");
  late.connect();
  assert.equal((await ended).code, 1);
});

const ann = await connected({ token: ANN_TOKEN });
const bob = await connected({ token: BOB_TOKEN });
const hers = await subscribed(ann, { since: START });
let his;

await step("a subscription from the start recovers everything", async () => {
  assert.equal(hers.context.recovered, true);
  assert.equal(hers.context.streamPosition.epoch, EPOCH);
  assert.equal((await hers.log.at(1)).type, "ConversationCreated");
});

await step("an unknown conversation is refused for good", async () => {
  const nowhere = ann.newSubscription("nowhere");
  const ended = next(nowhere, "unsubscribed");
  nowhere.subscribe();
  assert.equal((await ended).code, 102);
});

await step("who comes is announced", async () => {
  const joined = next(hers.subscription, "join");
  his = await subscribed(bob);
  assert.equal(his.context.recovered, false);
  assert.equal((await joined).info.user, "bob");
});

await step("a published message comes back to its sender, with its offset", async () => {
  await bob.publish(CONVERSATION, pack({ text: "published", client_message_id: "p-1" }));
  const echo = await his.log.text("published");
  assert.equal(echo.event_id, "p-1");
  assert.equal(echo.actor, "bob");
  assert.ok(echo.offset > 0);
  assert.equal((await hers.log.text("published")).offset, echo.offset);
  await bob.publish(CONVERSATION, pack("only a text"));
  await hers.log.text("only a text");
});

await step("a posted message is answered with its place", async () => {
  const posted = await post(ann, ODD, "r-1");
  assert.equal(posted.epoch, EPOCH);
  assert.equal(posted.event_id, "r-1");
  assert.equal(posted.duplicate, false);
  assert.equal((await his.log.text(ODD)).offset, posted.offset);
  const again = await post(ann, ODD, "r-1");
  assert.deepEqual([again.offset, again.duplicate], [posted.offset, true]);
});

await step("refusals have their codes", async () => {
  const of = (method, data, one = ann) => refusal(rpc(one, method, data)).then(({ code }) => code);
  const edit = (message_id) => ({ conversation: CONVERSATION, message_id, text: "x" });
  assert.equal(await of("message.edit", edit("no-such-message")), 404);
  assert.equal(await of("message.edit", edit("r-1"), bob), 103);
  assert.equal(await of("message.post", { conversation: "nowhere", text: "x" }), 102);
  assert.equal(await of("message.post", { conversation: CONVERSATION, text: " " }), 107);
  assert.equal(await of("conversation.create", { conversation: CONVERSATION }), 409);
  assert.equal(await of("no.such.method", {}), 104);
  assert.equal((await refusal(bob.publish(CONVERSATION, pack({ text: "" })))).code, 107);
});

await step("history pages both ways", async () => {
  const all = await hers.subscription.history({ limit: 100, since: START });
  assert.deepEqual(all.publications.map(({ data }) => line(data)), hers.log.lines);
  const [first, second] = all.publications;
  const page = await hers.subscription.history({ limit: 1, since: { offset: first.offset, epoch: EPOCH } });
  assert.deepEqual(page.publications.map(({ offset }) => offset), [second.offset]);
  const newest = await hers.subscription.history({ limit: 2, reverse: true });
  assert.deepEqual(newest.publications.map(({ offset }) => offset), all.publications.map(({ offset }) => offset).slice(-2).reverse());
  const before = { offset: newest.publications[1].offset, epoch: EPOCH };
  const older = await hers.subscription.history({ limit: 100, reverse: true, since: before });
  assert.deepEqual(older.publications.map(({ offset }) => offset), all.publications.map(({ offset }) => offset).slice(0, -2).reverse());
  const top = await hers.subscription.history({ limit: 0 });
  assert.deepEqual([top.publications.length, top.epoch, top.offset], [0, EPOCH, all.offset]);
  const lost = await refusal(hers.subscription.history({ limit: 1, since: { offset: 1, epoch: "another" } }));
  assert.equal(lost.code, 112);
});

await step("presence tells who is here", async () => {
  const { clients } = await hers.subscription.presence();
  assert.deepEqual(Object.values(clients).map(({ user }) => user).sort(), ["ann", "bob"]);
  const { numClients, numUsers } = await hers.subscription.presenceStats();
  assert.deepEqual([numClients, numUsers], [2, 2]);
});

await step("who goes is announced, and finds on return what was missed", async () => {
  const left = next(hers.subscription, "leave");
  his.subscription.unsubscribe();
  assert.equal((await left).info.user, "bob");
  for (const text of ["missed 1", "missed 2", "missed 3"]) await post(ann, text);
  const ready = next(his.subscription, "subscribed");
  his.subscription.subscribe();
  const context = await ready;
  assert.deepEqual([context.wasRecovering, context.recovered], [true, true]);
  await his.log.text("missed 3");
});

await step("a connection that was away finds what was missed", async () => {
  bob.disconnect();
  await post(ann, "missed 4");
  const ready = next(his.subscription, "subscribed");
  bob.connect();
  assert.equal((await ready).recovered, true);
  await his.log.text("missed 4");
});

const last = await post(bob, "the end");
await Promise.all([hers.log.at(last.offset), his.log.at(last.offset)]);
done({ ann: hers.log.lines, bob: his.log.lines });
