// What the scripts share: the settings, waiting, and the SDK as it comes from npm, in either wire form.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import WebSocket from "ws";

const WAIT_MS = 20_000;

export const { RELEASE, FORM, SOCKET_URL, ANN_TOKEN, BOB_TOKEN, EXPIRED_TOKEN, CONVERSATION, EPOCH } = process.env;

const binary = FORM === "protobuf";
const { Centrifuge } = await import(binary ? "centrifuge/build/protobuf" : "centrifuge");

/** A value as the SDK takes it: itself, or in Protobuf the bytes of its JSON. */
export function pack(value) {
  return binary ? new TextEncoder().encode(JSON.stringify(value)) : value;
}

/** What the SDK handed out, as the bytes that it would have on a line. */
export function line(data) {
  return binary ? new TextDecoder().decode(data) : JSON.stringify(data);
}

/** What the SDK handed out, as a value. */
export function unpack(data) {
  return binary ? JSON.parse(line(data)) : data;
}

/**
 * A socket that has one event a task, as those of browsers. `ws` has several in one unless it is told otherwise, and then
 * the SDK before 5.8 may show pushes that came in one packet in another order.
 */
class OneEventATask extends WebSocket {
  constructor(address, protocols) {
    super(address, protocols, { allowSynchronousEvents: false });
  }
}

const websocket = RELEASE === "5.3.5" ? OneEventATask : WebSocket;

export function client(options) {
  return new Centrifuge(SOCKET_URL, { websocket, minReconnectDelay: 20, maxReconnectDelay: 200, ...options });
}

/** Asks the server to do something, and gives its answer. */
export async function rpc(one, method, request) {
  const { data } = await one.rpc(method, pack(request));
  return unpack(data);
}

/** Fails, instead of waiting for ever. */
export function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), WAIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The next event of this name. Ask before what causes it. */
export function next(emitter, name) {
  return within(name, new Promise((resolve) => emitter.once(name, resolve)));
}

/** The error that a call must end with. */
export async function refusal(promise) {
  const outcome = await promise.then((value) => ({ value }), (error) => ({ error }));
  assert.ok(outcome.error, `this must be refused: ${JSON.stringify(outcome.value)}`);
  return outcome.error;
}

/** Keeps what a subscription hands out, in order, and lets one wait for it. */
export class Log {
  constructor(subscription) {
    this.items = [];
    this.lines = [];
    this.waiting = [];
    subscription.on("publication", ({ data, offset }) => {
      const event = unpack(data);
      assert.equal(offset, event.offset, "the offset beside an event is the one in it");
      this.items.push(event);
      this.lines.push(line(data));
      this.waiting = this.waiting.filter((look) => !look());
    });
  }

  /** The first event that fits, when it is there. */
  until(what, fits) {
    const found = new Promise((resolve) => {
      const look = () => {
        const item = this.items.find(fits);
        if (item) resolve(item);
        return Boolean(item);
      };
      if (!look()) this.waiting.push(look);
    });
    return within(what, found);
  }

  text(text) {
    return this.until(text, ({ body }) => body.text === text);
  }

  at(offset) {
    return this.until(`the event at ${offset}`, (event) => event.offset >= offset);
  }
}

/** Does one step, and tells the test that it is done. */
export async function step(name, run) {
  await run();
  console.log(`step ${name}`);
}

/** Lines from the test that started the script. */
export function orders() {
  return createInterface({ input: process.stdin })[Symbol.asyncIterator]();
}

/** Ends with the result: the last line is for the test. */
export function done(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}
