// One connection outlives several tokens: the SDK asks for the next one each time one ends.

import assert from "node:assert/strict";
import { CONVERSATION, client, done, next, orders, rpc, step, within } from "./kit.mjs";

/** One to connect, and three to go on: that the last was asked for shows that those before it were taken. */
const TOKENS = 4;

const lines = orders();
const connections = [];
let asked = 0;
let told;
const enough = new Promise((resolve) => (told = resolve));

const ann = client({
  getToken: async () => {
    asked += 1;
    if (asked === TOKENS) told();
    console.log("token");
    return (await lines.next()).value;
  },
});
ann.on("connected", ({ client }) => connections.push(client));
const ready = next(ann, "connected");
ann.connect();
await ready;

await step("tokens are renewed on one connection", async () => {
  await within("the last token", enough);
  const posted = await rpc(ann, "message.post", { conversation: CONVERSATION, text: "still here" });
  assert.ok(posted.offset > 0);
  assert.equal(ann.state, "connected");
  assert.equal(connections.length, 1);
});

done({});
