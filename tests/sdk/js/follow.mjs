// Stays subscribed from the beginning, whatever happens to the server, until it is told that an offset is the last one.

import { ANN_TOKEN, CONVERSATION, EPOCH, Log, client, done, next, orders } from "./kit.mjs";

const ann = client({ token: ANN_TOKEN });
const subscription = ann.newSubscription(CONVERSATION, { since: { offset: 0, epoch: EPOCH } });
const log = new Log(subscription);
const recovered = [];
subscription.on("subscribed", (context) => {
  recovered.push(context.recovered);
  console.log(`subscribed ${recovered.length}`);
});
const ready = next(subscription, "subscribed");
subscription.subscribe();
ann.connect();
await ready;

const lines = orders();
const { value: order } = await lines.next();
await log.at(Number(order));
done({ recovered, events: log.lines });
