// One open conversation: its page of messages joined to its live events without a gap. No DOM.
//
// The page names its position; the subscription recovers from exactly there. Whenever the server cannot prove that
// nothing fell between, the page is read anew.

import { Timeline } from "./timeline.js";

const PAGE_LEN = 50;
const REREAD_PAUSE_MS = 1_000;
const READ_MARKER_MS = 2_000;

/**
 * `onChange()`: the timeline or the people look different. `onArrival(entry)`: a live entry is new.
 * `onAbout()`: title, role or archived changed. `onTrouble(error)`: it cannot be read.
 */
export class Conversation {
  constructor({ id, me, api, socket, outbox, onChange, onArrival, onAbout, onTrouble }) {
    Object.assign(this, { id, me, api, socket, outbox, onChange, onArrival, onAbout, onTrouble });
    this.timeline = new Timeline(me);
    this.about = null;
    /** Connected clients here, by client id. */
    this.clients = new Map();
    this.follows = true;
    this.loading = null;
    this.closed = false;
    this.rereads = 0;
    this.readUpTo = 0;
    this.readTimer = null;
  }

  /** The names of those who are here, in order. */
  get people() {
    return [...new Set(this.clients.values())].sort((a, b) => a.localeCompare(b));
  }

  get role() {
    return this.about?.members.find(({ user }) => user === this.me)?.role ?? null;
  }

  get moderates() {
    return this.role === "moderator" || this.role === "owner";
  }

  async open() {
    try {
      const [about, page] = await Promise.all([this.api.conversation(this.id), this.read()]);
      if (this.closed) return;
      this.about = about;
      this.begin(page);
      this.onAbout();
    } catch (error) {
      if (!this.closed) this.onTrouble(error);
    }
  }

  close() {
    // Who looks elsewhere at once has read it all the same.
    if (this.readTimer) this.tellRead();
    this.closed = true;
    this.socket.unsubscribe(this.id);
  }

  read(query = {}) {
    return this.api.messages(this.id, { limit: PAGE_LEN, ...query });
  }

  begin(page) {
    this.timeline.load(page);
    for (const item of this.outbox.of(this.id)) {
      if (this.timeline.get(item.id)?.state === "sent") this.outbox.settle(this.id, item.id);
      else this.timeline.addPending(item);
    }
    this.socket.subscribe(this.id, { offset: page.offset, epoch: page.epoch }, {
      onEvent: (event, offset) => this.take(event, offset),
      onSubscribed: () => this.present(),
      onLost: () => this.reread(),
      onJoin: (info) => this.arrive(info),
      onLeave: (info) => this.depart(info),
      onRefused: (error) => this.onTrouble(error),
    });
    this.onChange();
  }

  /** The position means nothing to the server: what was missed is in a new page. */
  async reread() {
    this.rereads += 1;
    if (this.rereads > 1) await new Promise((resolve) => setTimeout(resolve, REREAD_PAUSE_MS));
    if (!this.closed) await this.open();
  }

  take(event, offset) {
    if (!event?.type || offset === 0) return;
    this.rereads = 0;
    if (event.type === "MessagePosted") this.outbox.settle(this.id, event.event_id);
    if (event.type === "ReadMarkerMoved" && event.actor === this.me) {
      this.readUpTo = Math.max(this.readUpTo, event.body.up_to);
    }
    const entry = this.timeline.apply(event, offset);
    if (this.concernsAbout(event)) this.refresh();
    if (entry) this.onArrival(entry);
    this.trim();
    this.onChange();
  }

  /** What is far from where the reader is goes first. */
  trim() {
    this.timeline.trim(this.follows ? "older" : "newer");
  }

  concernsAbout({ type }) {
    return /^(Conversation|Member|Role)/.test(type);
  }

  async refresh() {
    const about = await this.api.conversation(this.id).catch(() => null);
    if (!about || this.closed) return;
    this.about = about;
    this.onAbout();
  }

  // --- who is here

  present() {
    this.socket.presence(this.id, (infos) => {
      this.clients = new Map(infos.map(({ client, user }) => [client, user]));
      this.onChange();
    });
  }

  arrive({ client, user }) {
    this.clients.set(client, user);
    this.onChange();
  }

  depart({ client }) {
    this.clients.delete(client);
    this.onChange();
  }

  // --- back and forth

  loadOlder() {
    const { older, begin } = this.timeline;
    if (!older || begin === undefined) return this.loading;
    return this.turn({ before: begin }, (page) => {
      this.timeline.prepend(page);
      this.timeline.trim("newer");
    });
  }

  loadNewer() {
    const { newer, end } = this.timeline;
    if (!newer || end === undefined) return this.loading;
    return this.turn({ after: end }, (page) => {
      this.timeline.append(page);
      this.timeline.trim("older");
    });
  }

  /** Back to the newest page, in one step. */
  async latest() {
    if (this.timeline.newer) await this.open();
  }

  /** One page at a time; who asks meanwhile gets the one that is on its way. */
  turn(query, take) {
    this.loading ??= this.read(query)
      .then((page) => {
        if (this.closed) return;
        // Another log: its positions have nothing to do with those on the page.
        if (page.epoch === this.timeline.epoch) take(page);
        else this.reread();
      })
      .finally(() => {
        this.loading = null;
        if (!this.closed) this.onChange();
      });
    return this.loading;
  }

  // --- what I do

  post({ id, text, style, replyTo }) {
    const item = { conversation: this.id, id, text, style, replyTo, at: new Date().toISOString() };
    this.timeline.addPending(item);
    this.outbox.post(item);
    this.onChange();
  }

  confirmed(id, offset) {
    this.timeline.confirm(id, offset);
    this.trim();
    this.onChange();
  }

  refused(id, reason) {
    this.timeline.fail(id, reason);
    this.onChange();
  }

  retry(id) {
    if (this.outbox.retry(this.id, id)) this.timeline.retry(id);
    this.onChange();
  }

  discard(id) {
    this.outbox.discard(this.id, id);
    this.timeline.discard(id);
    this.onChange();
  }

  edit(id, text) {
    return this.socket.rpc("message.edit", { conversation: this.id, message_id: id, text });
  }

  redact(id) {
    return this.socket.rpc("message.redact", { conversation: this.id, message_id: id });
  }

  toggleReaction(id, emoji) {
    const mine = this.timeline.get(id)?.reactions.get(emoji)?.has(this.me);
    const method = mine ? "reaction.remove" : "reaction.add";
    return this.socket.rpc(method, { conversation: this.id, message_id: id, emoji });
  }

  /** Everything that is shown was read. Told to the server a little later, once for many. */
  markRead() {
    if (this.readTimer || !this.role) return;
    this.readTimer = setTimeout(() => this.tellRead(), READ_MARKER_MS);
  }

  tellRead() {
    clearTimeout(this.readTimer);
    this.readTimer = null;
    const upTo = this.timeline.end ?? 0;
    if (this.closed || upTo <= this.readUpTo || !this.socket.connected) return;
    this.readUpTo = upTo;
    // A marker that got lost is made good by the next.
    this.socket.rpc("read.move", { conversation: this.id, up_to: upTo }).catch(() => {});
  }
}
