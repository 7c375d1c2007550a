// The page, put together: session, connection, list, one open conversation. The address says which: `#c=ID`.

import { Api } from "./api.js";
import { Conversation } from "./conversation.js";
import { Directory } from "./directory.js";
import { byId } from "./dom.js";
import { Outbox } from "./outbox.js";
import { Session } from "./session.js";
import { Socket } from "./socket.js";
import { freshId } from "./words.js";
import { Composer } from "./view/composer.js";
import { closable, confirmDelete, help, newConversation } from "./view/dialogs.js";
import { ListView } from "./view/list.js";
import { spoken } from "./view/message.js";
import { MessagesView } from "./view/messages.js";
import { RoomView } from "./view/room.js";
import { Welcome } from "./view/welcome.js";

const LIST_REFRESH_MS = 30_000;
const TOAST_MS = 6_000;

class Page {
  constructor() {
    this.session = null;
    this.open = null;
    this.unread = 0;
    this.wasConnected = false;
    this.welcome = new Welcome((session) => this.enter(session));
    this.list = new ListView({ onMore: () => this.directory.next().catch((error) => this.toast(error)) });
    this.room = new RoomView({
      join: () => this.change(() => this.api.join(this.open.id)),
      leave: () => this.change(() => this.api.leave(this.open.id)),
      rename: (title) => this.change(() => this.api.retitle(this.open.id, title)),
      add: (user) => this.change(() => this.api.add(this.open.id, user)),
    });
    this.composer = new Composer({
      post: (message) => this.post(message),
      edit: (id, text) => this.open.edit(id, text),
      editLast: () => this.edit(this.open?.timeline.lastOwn()?.id),
    });
    const askDelete = confirmDelete();
    this.messages = new MessagesView({
      me: () => this.session.user,
      moderates: () => this.open.moderates,
      react: (id, emoji) => this.open.toggleReaction(id, emoji).catch((error) => this.toast(error)),
      reply: (id) => this.composer.reply(this.open.timeline.get(id)),
      edit: (id) => this.edit(id),
      remove: (id) => askDelete(() => this.open.redact(id).catch((error) => this.toast(error))),
      retry: (id) => this.open.retry(id),
      discard: (id) => this.open.discard(id),
      onRead: () => this.read(),
      onTrouble: (error) => this.toast(error),
    });
    newConversation((wish) => this.create(wish));
    closable();
    help();
    this.listen();
  }

  listen() {
    addEventListener("hashchange", () => this.route());
    addEventListener("online", () => this.socket?.networkChanged());
    addEventListener("focus", () => this.read());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.socket?.nudge();
      this.refreshList();
    });
    setInterval(() => !document.hidden && this.refreshList(), LIST_REFRESH_MS);
    byId("sign-out").addEventListener("click", () => this.leave());
    byId("back").addEventListener("click", () => (location.hash = ""));
    byId("open-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const id = byId("open-id").value.trim();
      if (!id) return;
      byId("open-id").value = "";
      go(id);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || event.target.closest?.("dialog")) return;
      if (this.open) this.composer.focus();
    });
  }

  // --- coming and going

  start() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const token = wanted.get("token");
    if (token) {
      wanted.delete("token");
      // The token must not stay where it can be read over a shoulder or copied with the address.
      history.replaceState(null, "", `${location.pathname}${location.search}#${wanted}`);
    }
    const session = token ? Session.withToken(token) : Session.restored();
    if (session) this.enter(session);
    else this.welcome.show();
  }

  enter(session) {
    this.session = session;
    this.api = new Api(session);
    this.directory = new Directory({
      api: this.api,
      rpc: (method, data) => this.socket.rpc(method, data),
      onChange: (items, more) => this.list.show(items, more),
      onStranger: () => this.refreshList(),
    });
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const url = `${scheme}://${location.host}/connection/websocket`;
    this.socket = new Socket({ url, session, onState: (state, why) => this.connection(state, why) });
    this.outbox = new Outbox({
      rpc: (method, data) => this.socket.rpc(method, data),
      isConnected: () => this.socket.connected,
      onConfirmed: ({ conversation, id }, offset) => this.opened(conversation)?.confirmed(id, offset),
      onFailed: ({ conversation, id, reason }) => this.opened(conversation)?.refused(id, reason),
    });
    this.welcome.hide();
    byId("panes").hidden = false;
    byId("me").hidden = false;
    byId("me").textContent = session.user;
    byId("sign-out").hidden = false;
    this.socket.subscribe("@inbox", null, {
      onEvent: (entry) => this.directory.heed(entry),
      // A connection that is lost meanwhile begins it again.
      onSubscribed: () => this.directory.readInbox().catch(() => {}),
    });
    this.socket.open();
    this.refreshList();
    this.route();
  }

  /** Nothing of one person stays for the next: the page begins anew. */
  leave() {
    this.session.end();
    this.socket.stop();
    location.replace(location.pathname);
    location.reload();
  }

  connection(state, why) {
    const words = {
      connecting: this.wasConnected ? "Connection lost, trying again…" : "Connecting…",
      connected: "Connected",
      waiting: "Connection lost, trying again…",
      stopped: `Not connected. ${why}`,
    };
    // Written only when it changes: the line is read aloud.
    if (byId("state").textContent !== words[state]) byId("state").textContent = words[state];
    byId("state").dataset.state = state === "connecting" && this.wasConnected ? "waiting" : state;
    if (state !== "connected") return;
    if (this.wasConnected) this.refreshList();
    this.wasConnected = true;
    this.outbox.resume();
  }

  async refreshList() {
    if (!this.session) return;
    try {
      await this.directory.refresh();
    } catch (error) {
      if (error.status === 401) this.socket.stop("Sign in again.");
      else if (error.status !== 0) this.toast(error);
    }
  }

  // --- which conversation

  route() {
    if (!this.session) return;
    const id = new URLSearchParams(location.hash.slice(1)).get("c");
    if (id === (this.open?.id ?? null)) return;
    this.open?.close();
    this.open = null;
    byId("panes").classList.toggle("reading", id !== null);
    this.list.select(id);
    if (id) this.show(id);
    else this.room.hide();
    this.composer.show(id);
    this.unread = 0;
    this.entitle();
    // On a phone the keyboard would cover what one came to read.
    if (id && matchMedia("(hover: hover)").matches) this.composer.focus();
    else if (id) byId("room-title").focus();
    else byId("filter").focus({ preventScroll: true });
  }

  show(id) {
    const { api, socket, outbox, session } = this;
    const open = new Conversation({
      id,
      me: session.user,
      api,
      socket,
      outbox,
      onChange: () => this.open === open && this.changed(),
      onArrival: (entry) => this.open === open && this.arrived(entry),
      onAbout: () => this.open === open && this.aboutChanged(),
      onTrouble: (error) => this.open === open && this.troubled(error),
    });
    open.readUpTo = this.directory.get(id)?.read_up_to ?? 0;
    this.open = open;
    byId("scroll").ariaBusy = "true";
    this.room.show(open);
    this.messages.show(open);
    open.open();
  }

  changed() {
    byId("scroll").ariaBusy = "false";
    this.messages.schedule();
    this.room.drawPeople();
  }

  aboutChanged() {
    this.room.drawAbout();
    this.messages.schedule();
    this.entitle();
  }

  /** A conversation that cannot be read is closed again, with the reason said. */
  troubled(error) {
    this.toast(error);
    if (error.status === 0 || error.status === 503) setTimeout(() => this.open?.about === null && this.open.open(), 3_000);
    else location.hash = "";
  }

  arrived(entry) {
    if (entry.author === this.session.user || entry.actor === this.session.user) return;
    this.announce(spoken(entry));
    if (entry.kind === "message" && !document.hasFocus()) this.unread += 1;
    this.entitle();
  }

  /** What comes together is read together; of many only the last few. */
  announce(words) {
    this.toSay = [...(this.toSay ?? []).slice(-4), words];
    this.saying ??= setTimeout(() => {
      byId("announcer").textContent = this.toSay.join("\n");
      this.toSay = [];
      this.saying = null;
    }, 400);
  }

  entitle() {
    const count = this.unread > 0 ? `(${this.unread}) ` : "";
    document.title = this.open ? `${count}${this.room.title} – Tidings` : "Tidings";
  }

  // --- what I do

  post(message) {
    const { open } = this;
    open.post({ id: freshId(), ...message });
    this.messages.toLatest().catch((error) => this.toast(error));
  }

  edit(id) {
    const entry = id && this.open.timeline.get(id);
    if (entry?.author === this.session.user) this.composer.edit(entry);
  }

  read() {
    if (this.unread > 0 && document.hasFocus()) {
      this.unread = 0;
      this.entitle();
    }
    if (this.open?.follows) this.open.markRead();
  }

  opened(id) {
    return this.open?.id === id ? this.open : null;
  }

  async create(wish) {
    const { conversation } = await this.api.create(wish);
    await this.refreshList();
    go(conversation);
  }

  /** A change of a conversation or of one's place in it; then the list is read again. */
  async change(act) {
    await act();
    await Promise.all([this.open?.refresh(), this.refreshList()]);
  }

  toast(error) {
    const toast = byId("toast");
    toast.textContent = error.message;
    clearTimeout(this.toasting);
    this.toasting = setTimeout(() => (toast.textContent = ""), TOAST_MS);
  }
}

function go(id) {
  location.hash = `c=${encodeURIComponent(id)}`;
}

new Page().start();
