// A small client of the Centrifuge protocol, version 2, JSON. No DOM.
//
// What it keeps: every subscription has a position, which moves only after its event was handed over. After a
// lost connection it asks from that position; what it was given before is dropped. So its user sees each event
// once and in order, or is told (`onLost`) that the position means nothing any more and the page must be read anew.

const CALL_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 10_000;
const PING_GRACE_MS = 10_000;
/** A connection that held so long was a good one: the next loss starts counting afresh. */
const STEADY_MS = 5_000;
const TOKEN_EXPIRED = 109;

/** A call that failed. `temporary`: sending it again may help. `code` 0: the connection was lost. */
export class CallError extends Error {
  constructor({ code = 0, message = "The connection was lost.", temporary = false }) {
    super(message);
    this.code = code;
    this.temporary = temporary;
  }
}

/** Whether a close code means: stay away. 1009: a frame was too large, and would be again. */
export function isTerminal(code) {
  return code === 1009 || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
}

/** How long to wait before try number `tries` (from 0): 0.3 to 10 s, doubling, with jitter. */
export function backoffMs(tries, random = Math.random) {
  return Math.max(300, Math.min(10_000, 600 * 2 ** tries) * (0.5 + random() / 2));
}

/**
 * `session`: has `token` and `renew()`. `onState(state, why)`: `connecting`, `connected`, `waiting` or `stopped`.
 * Handlers of a subscription, all optional: `onEvent(data, offset)`, `onSubscribed()`, `onLost()`, `onJoin(info)`,
 * `onLeave(info)`, `onRefused(error)`: refused for good, or ended by the server.
 */
export class Socket {
  constructor({ url, session, onState = () => {}, WebSocket = globalThis.WebSocket, random = Math.random, now = Date.now }) {
    Object.assign(this, { url, session, onState, WebSocket, random, now });
    this.state = "stopped";
    this.transport = null;
    /** `connect` is sent; the server takes what follows in order, so nothing has to wait for the answer. */
    this.greeting = false;
    this.lastId = 0;
    this.tries = 0;
    this.calls = new Map();
    this.subscriptions = new Map();
    this.timers = { deadline: null, reconnect: null };
  }

  get connected() {
    return this.state === "connected";
  }

  open() {
    this.drop();
    this.enter("connecting");
    const transport = new this.WebSocket(this.url);
    this.transport = transport;
    const mine = (handle) => (event) => {
      if (this.transport === transport) handle(event);
    };
    transport.onopen = mine(() => this.greet());
    transport.onmessage = mine((event) => this.take(event.data));
    transport.onclose = mine(({ code, reason }) => {
      if (isTerminal(code)) this.stop(reason || `The server closed the connection (${code}).`);
      else this.lose();
    });
    this.expect(CONNECT_TIMEOUT_MS);
  }

  /** Closes and stays closed. */
  stop(why = "") {
    this.drop();
    this.enter("stopped", why);
  }

  /** The network changed or somebody looks again: try at once, unless all is well. */
  nudge() {
    if (this.state === "waiting") this.open();
  }

  /** The network is another one: whatever connection there is may be dead without knowing. */
  networkChanged() {
    if (this.state !== "stopped") this.open();
  }

  /** Without a position, `null`, there is nothing to come back to: `onSubscribed` says that it begins, anew each time. */
  subscribe(channel, position, handlers) {
    const subscription = { channel, ...(position ?? { offset: null }), tries: 0, timer: null, handlers };
    this.unsubscribe(channel);
    this.subscriptions.set(channel, subscription);
    if (this.greeting) this.write([this.wish(subscription)]);
  }

  unsubscribe(channel) {
    const subscription = this.subscriptions.get(channel);
    if (!subscription) return;
    clearTimeout(subscription.timer);
    this.subscriptions.delete(channel);
    if (this.greeting) this.write([this.command({ unsubscribe: { channel } }, () => {})]);
  }

  /** Asks who is here. `done` runs at the answer's place in the stream, before any later join or leave. */
  presence(channel, done) {
    if (!this.connected) return;
    this.write([
      this.command({ presence: { channel } }, (error, reply) => {
        if (!error) done(Object.values(reply.presence?.presence ?? {}));
      }),
    ]);
  }

  /** Calls a method of the server. Rejects with a `CallError`. */
  rpc(method, data) {
    return new Promise((resolve, reject) => {
      if (!this.connected) return reject(new CallError({ temporary: true, message: "There is no connection." }));
      const done = (error, reply) => (error ? reject(error) : resolve(reply.rpc?.data));
      this.write([this.command({ rpc: { method, data } }, done)]);
    });
  }

  // --- going up and down

  /** Connect and all subscriptions in one frame: one round trip until everything flows again. */
  greet() {
    const connect = { token: this.session.token, name: "console" };
    const commands = [this.command({ connect }, (error, reply) => this.greeted(error, reply))];
    for (const subscription of this.subscriptions.values()) commands.push(this.wish(subscription));
    this.greeting = true;
    this.write(commands);
  }

  greeted(error, reply) {
    if (error) return this.unwelcome(error);
    const { ping = 0, pong = false } = reply.connect ?? {};
    this.silenceMs = ping > 0 ? ping * 1000 + PING_GRACE_MS : null;
    this.answersPings = pong;
    this.connectedAt = this.now();
    this.expect(this.silenceMs);
    this.enter("connected");
  }

  async unwelcome(error) {
    if (error.code === 0) return;
    if (error.code === TOKEN_EXPIRED) {
      const transport = this.transport;
      const renewed = await Promise.resolve(this.session.renew()).catch(() => null);
      if (this.transport !== transport) return;
      if (renewed === false) return this.stop("The token has expired. Sign in again.");
      return this.lose();
    }
    if (error.temporary) this.lose();
    else this.stop(error.message);
  }

  lose() {
    if (this.connectedAt !== undefined && this.now() - this.connectedAt >= STEADY_MS) this.tries = 0;
    this.connectedAt = undefined;
    this.drop();
    this.timers.reconnect = setTimeout(() => this.open(), backoffMs(this.tries, this.random));
    this.tries += 1;
    this.enter("waiting");
  }

  /** Lets go of the transport, without waiting for it to agree, and of everything that hung on it. */
  drop() {
    const transport = this.transport;
    this.transport = null;
    this.greeting = false;
    clearTimeout(this.timers.deadline);
    clearTimeout(this.timers.reconnect);
    for (const subscription of this.subscriptions.values()) clearTimeout(subscription.timer);
    transport?.close();
    const calls = [...this.calls.values()];
    this.calls.clear();
    if (this.state === "connected") this.state = "waiting";
    for (const call of calls) {
      clearTimeout(call.timer);
      call.done(new CallError({ temporary: true }));
    }
  }

  enter(state, why = "") {
    this.state = state;
    this.onState(state, why);
  }

  /** If nothing is heard for so long, the connection is dead. */
  expect(ms) {
    clearTimeout(this.timers.deadline);
    if (ms !== null) this.timers.deadline = setTimeout(() => this.lose(), ms);
  }

  // --- out

  command(request, done, { onTimeout } = {}) {
    this.lastId += 1;
    const id = this.lastId;
    const late = () => {
      this.calls.delete(id);
      if (onTimeout) onTimeout();
      else done(new CallError({ temporary: true, message: "The server did not answer in time." }));
    };
    this.calls.set(id, { done, timer: setTimeout(late, CALL_TIMEOUT_MS) });
    return { id, ...request };
  }

  wish(subscription) {
    const { channel, offset, epoch } = subscription;
    const from = offset === null ? {} : { recover: true, offset, epoch, join_leave: true };
    // Until the answer is here, what is pushed belongs to an earlier subscription of the same channel.
    subscription.live = false;
    const done = (error, reply) => {
      if (this.subscriptions.get(channel) !== subscription) return;
      if (error) this.notSubscribed(subscription, error);
      else this.subscribed(subscription, reply.subscribe ?? {});
    };
    return this.command({ subscribe: { channel, ...from } }, done, { onTimeout: () => this.lose() });
  }

  write(commands) {
    this.transport?.send(commands.map((command) => JSON.stringify(command)).join("\n"));
  }

  // --- in

  /** One frame: several replies, a line each. A sign that cannot be read ends the connection. */
  take(frame) {
    const transport = this.transport;
    if (this.connected) this.expect(this.silenceMs);
    for (const line of frame.split("\n")) {
      if (line.trim() === "") continue;
      let reply;
      try {
        reply = JSON.parse(line);
      } catch {
        return this.lose();
      }
      this.heed(reply);
      if (this.transport !== transport) return;
    }
  }

  heed(reply) {
    if (reply.id) {
      const call = this.calls.get(reply.id);
      if (!call) return;
      this.calls.delete(reply.id);
      clearTimeout(call.timer);
      call.done(reply.error ? new CallError(reply.error) : null, reply);
    } else if (reply.push) {
      this.pushed(reply.push);
    } else if (this.answersPings) {
      this.transport.send("{}");
    }
  }

  pushed({ channel, pub, join, leave, unsubscribe, disconnect }) {
    if (disconnect) return isTerminal(disconnect.code) ? this.stop(disconnect.reason) : this.lose();
    const subscription = this.subscriptions.get(channel);
    if (!subscription?.live) return;
    if (pub) this.published(subscription, pub);
    else if (join) subscription.handlers.onJoin?.(join.info);
    else if (leave) subscription.handlers.onLeave?.(leave.info);
    else if (unsubscribe) this.ended(subscription, unsubscribe);
  }

  /** Without an offset it is a signal, which is no part of the history and moves no position. */
  published(subscription, { data, offset = 0 }) {
    if (offset > 0 && offset <= subscription.offset) return;
    try {
      subscription.handlers.onEvent?.(data, offset);
    } catch (error) {
      // An event that cannot be shown must not keep the others away, nor come again for ever.
      console.error(error);
    }
    if (offset > 0) subscription.offset = offset;
  }

  subscribed(subscription, result) {
    subscription.tries = 0;
    subscription.live = true;
    if (subscription.offset === null) return subscription.handlers.onSubscribed?.();
    if (!result.recovered) {
      this.unsubscribe(subscription.channel);
      subscription.handlers.onLost?.();
      return;
    }
    const publications = result.publications ?? [];
    for (const publication of publications) {
      this.published(subscription, publication);
      if (this.subscriptions.get(subscription.channel) !== subscription) return;
    }
    // With nothing to hand over, the server may move a quiet conversation's position forward.
    if (publications.length === 0) subscription.offset = Math.max(subscription.offset, result.offset ?? 0);
    subscription.handlers.onSubscribed?.();
  }

  notSubscribed(subscription, error) {
    // A lost connection subscribes everything again when it is back.
    if (error.code === 0) return;
    if (error.temporary || error.code === TOKEN_EXPIRED) {
      const again = () => this.connected && this.write([this.wish(subscription)]);
      subscription.timer = setTimeout(again, backoffMs(subscription.tries, this.random));
      subscription.tries += 1;
      return;
    }
    this.subscriptions.delete(subscription.channel);
    subscription.handlers.onRefused?.(error);
  }

  ended(subscription, { code, reason }) {
    if (code >= 2500) return this.write([this.wish(subscription)]);
    this.subscriptions.delete(subscription.channel);
    subscription.handlers.onRefused?.(new CallError({ code, message: reason }));
  }
}
