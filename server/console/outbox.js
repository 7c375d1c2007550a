// Own messages on their way to the log. No DOM.
//
// Each has its id from the start and keeps it, so that sending it again never makes a second one. Within a
// conversation they go one after another: the next leaves when the log has the one before, so their order is kept
// whatever is lost on the way.

import { backoffMs } from "./socket.js";

/**
 * `rpc(method, data)` sends; `isConnected()`; `onConfirmed(item, offset)` and `onFailed(item)` tell what became of one.
 */
export class Outbox {
  constructor({ rpc, isConnected, onConfirmed, onFailed, random = Math.random }) {
    Object.assign(this, { rpc, isConnected, onConfirmed, onFailed, random });
    /** By conversation: its messages in order, those that failed among them. */
    this.queues = new Map();
    this.busy = new Set();
  }

  /** What is on its way in a conversation, or was refused. */
  of(conversation) {
    return this.queues.get(conversation) ?? [];
  }

  post(item) {
    item.state = "pending";
    item.reason = "";
    item.tries = 0;
    this.queues.set(item.conversation, [...this.of(item.conversation), item]);
    this.pump(item.conversation);
  }

  /** Connected again: everything goes on. */
  resume() {
    for (const conversation of this.queues.keys()) this.pump(conversation);
  }

  /** The log has it, as an event or a page showed. */
  settle(conversation, id) {
    this.remove(conversation, id);
  }

  /** Sends a refused one again, behind those that are waiting. Returns it. */
  retry(conversation, id) {
    const item = this.remove(conversation, id);
    if (item) this.post(item);
    return item;
  }

  discard(conversation, id) {
    this.remove(conversation, id);
  }

  remove(conversation, id) {
    const queue = this.of(conversation);
    const item = queue.find((other) => other.id === id);
    if (item) this.keep(conversation, queue.filter((other) => other !== item));
    return item;
  }

  keep(conversation, queue) {
    if (queue.length > 0) this.queues.set(conversation, queue);
    else this.queues.delete(conversation);
  }

  async pump(conversation) {
    if (this.busy.has(conversation)) return;
    this.busy.add(conversation);
    try {
      for (let item = this.next(conversation); item && this.isConnected(); item = this.next(conversation)) {
        await this.attempt(item);
      }
    } finally {
      this.busy.delete(conversation);
    }
  }

  next(conversation) {
    return this.of(conversation).find((item) => item.state === "pending");
  }

  async attempt(item) {
    const { conversation, id, text, style, replyTo } = item;
    const data = { conversation, client_message_id: id, text, style, reply_to: replyTo ?? null };
    try {
      const { offset } = await this.rpc("message.post", data);
      if (this.remove(conversation, id)) this.onConfirmed(item, offset);
    } catch (error) {
      if (!this.of(conversation).includes(item)) return;
      if (!error.temporary) {
        item.state = "failed";
        item.reason = error.message;
        this.onFailed(item);
      } else if (this.isConnected()) {
        await new Promise((resolve) => setTimeout(resolve, backoffMs(item.tries, this.random)));
        item.tries += 1;
      }
    }
  }
}
