// The list of messages: keeps the DOM in step with the timeline, and the reader's place while it grows at both ends.

import { byId, oncePerFrame, rove } from "../dom.js";
import { continues, dayKey, daySeparator, render } from "./message.js";
import { Toolbar } from "./toolbar.js";

/** So near the bottom (pixels) counts as being there. */
const BOTTOM_NEAR = 60;
/** So near an end that the next page is fetched. */
const END_NEAR = 300;

const INNER = "a[href], .quote[data-quotes], .reactions button, .toolbar button";

/**
 * `actions`: what a person can do with a message, see `Toolbar`, and `retry(id)`, `discard(id)`, `onRead()`,
 * `onTrouble(error)`.
 */
export class MessagesView {
  constructor(actions) {
    this.actions = actions;
    this.list = byId("messages");
    this.scroll = byId("scroll");
    this.nodes = new Map();
    this.conversation = null;
    this.schedule = oncePerFrame(() => this.sync());
    this.toolbar = new Toolbar({ ...actions, entryOf: (node) => this.entryOf(node) });
    this.activate = rove(this.list, () => [...this.list.querySelectorAll(".message")], {
      onMove: (item, before) => this.moveTabStop(item, before),
    });
    byId("load-older").addEventListener("click", () => this.fetch("loadOlder"));
    byId("load-newer").addEventListener("click", () => this.fetch("loadNewer"));
    byId("latest").addEventListener("click", () => this.toLatest());
    this.scroll.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.list.addEventListener("click", (event) => this.clicked(event));
    this.list.addEventListener("keydown", (event) => this.pressed(event));
    this.list.addEventListener("pointerover", (event) => this.offer(event.target));
    this.list.addEventListener("focusin", (event) => this.offer(event.target));
    new ResizeObserver(() => this.follow()).observe(this.scroll);
  }

  show(conversation) {
    this.conversation = conversation;
    this.activate(null);
    this.toolbar.detach();
    this.nodes.clear();
    this.list.replaceChildren();
    this.schedule();
  }

  entryOf(node) {
    return this.conversation?.timeline.get(node.dataset.messageId);
  }

  /**
   * Brings the list up to date. Nodes are made again only where the entry is another or its revision says so: a page
   * that is read anew brings entries of its own, which count from 0 again.
   */
  sync() {
    if (!this.conversation) return;
    const { timeline } = this.conversation;
    const entries = timeline.entries;
    const anchor = this.conversation.follows ? null : this.anchor();
    const wanted = [];
    const kept = new Map();
    let before = null;
    for (const entry of entries) {
      if (!before || dayKey(before.at) !== dayKey(entry.at)) wanted.push(this.day(entry, kept));
      const node = this.node(entry, timeline, kept);
      node.classList.toggle("goes-on", continues(entry, before));
      wanted.push(node);
      before = entry;
    }
    this.nodes = kept;
    this.put(wanted);
    byId("load-older").hidden = !timeline.older;
    byId("beginning").hidden = timeline.older || !this.conversation.about;
    byId("load-newer").hidden = !timeline.newer;
    if (!this.list.querySelector('[tabindex="0"].message')) this.activate([...this.list.querySelectorAll(".message")].at(-1) ?? null);
    if (anchor) this.scroll.scrollTop += anchor.node.getBoundingClientRect().top - anchor.top;
    this.follow();
    this.scrolled();
  }

  day(entry, kept) {
    const key = `day:${dayKey(entry.at)}:${entry.key}`;
    const known = this.nodes.get(key) ?? { node: daySeparator(entry.at), revision: 0 };
    kept.set(key, known);
    return known.node;
  }

  node(entry, timeline, kept) {
    const known = this.nodes.get(entry.key);
    if (known?.entry === entry && known.revision === entry.revision) {
      kept.set(entry.key, known);
      return known.node;
    }
    const node = render(entry, timeline);
    kept.set(entry.key, { node, entry, revision: entry.revision });
    if (known) this.replace(known.node, node);
    return node;
  }

  /** A message looks different: the tab stop, the focus and the toolbar stay with it. */
  replace(old, node) {
    const focused = old.contains(document.activeElement);
    const wasStop = old.tabIndex === 0;
    const emoji = focused ? document.activeElement.dataset.emoji : undefined;
    const held = this.toolbar.holder === old;
    old.replaceWith(node);
    if (held) this.toolbar.attach(node);
    if (wasStop) this.activate(node);
    if (!focused) return;
    const same = emoji && [...node.querySelectorAll(".reactions button")].find((b) => b.dataset.emoji === emoji);
    (same || node).focus({ preventScroll: true });
  }

  /** Makes the children of the list those that are wanted, touching only what differs. */
  put(wanted) {
    const keep = new Set(wanted);
    for (const child of [...this.list.children]) if (!keep.has(child)) child.remove();
    let at = this.list.firstChild;
    for (const node of wanted) {
      if (node === at) at = at.nextSibling;
      else this.list.insertBefore(node, at);
    }
  }

  // --- the place

  /** The first message in sight, and where it is: what must not move when others come and go. */
  anchor() {
    const top = this.scroll.getBoundingClientRect().top;
    for (const child of this.list.children) {
      const box = child.getBoundingClientRect();
      if (box.bottom > top && child.classList.contains("message")) return { node: this.stay(child), top: box.top };
    }
    return null;
  }

  /** An anchor whose message is drawn again is looked up by its id. */
  stay(child) {
    const key = child.dataset.messageId;
    return { getBoundingClientRect: () => (this.nodes.get(key)?.node ?? child).getBoundingClientRect() };
  }

  follow() {
    if (this.conversation?.follows) this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  scrolled() {
    if (!this.conversation) return;
    const { timeline } = this.conversation;
    const { scrollTop, scrollHeight, clientHeight } = this.scroll;
    const below = scrollHeight - clientHeight - scrollTop;
    this.conversation.follows = below < BOTTOM_NEAR && !timeline.newer;
    byId("latest").hidden = this.conversation.follows;
    if (this.conversation.follows && document.hasFocus()) this.actions.onRead();
    if (scrollTop < END_NEAR && timeline.older) this.fetch("loadOlder");
    else if (below < END_NEAR && timeline.newer) this.fetch("loadNewer");
  }

  fetch(direction) {
    if (this.conversation.loading || this.troubled) return;
    this.conversation[direction]()?.catch((error) => {
      this.actions.onTrouble(error);
      // Scrolling asks again, but not at once.
      this.troubled = true;
      setTimeout(() => (this.troubled = false), 2_000);
    });
  }

  async toLatest() {
    await this.conversation.latest();
    this.conversation.follows = true;
    this.schedule();
  }

  /** Shows a message and puts the focus on it. */
  goTo(id) {
    const node = this.nodes.get(id)?.node;
    if (!node) return;
    node.scrollIntoView({ block: "center" });
    this.activate(node, { focus: true });
  }

  // --- hands on

  moveTabStop(item, before) {
    for (const inner of before?.querySelectorAll(INNER) ?? []) inner.tabIndex = -1;
    for (const inner of item?.querySelectorAll(INNER) ?? []) inner.tabIndex = 0;
  }

  offer(target) {
    const node = target.closest(".message");
    if (!node || this.toolbar.holder === node) return;
    const entry = this.entryOf(node);
    if (!entry || entry.state !== "sent" || entry.text === null) return this.toolbar.detach();
    this.toolbar.attach(node);
  }

  clicked({ target }) {
    const node = target.closest(".message");
    const button = target.closest("button");
    if (!node || !button) return;
    const id = node.dataset.messageId;
    if (button.dataset.quotes) this.goTo(button.dataset.quotes);
    else if (button.dataset.act === "retry") this.actions.retry(id);
    else if (button.dataset.act === "discard") this.actions.discard(id);
    else if (button.dataset.emoji) this.actions.react(id, button.dataset.emoji);
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const node = event.target.closest(".message");
    const entry = node && this.entryOf(node);
    if (!entry || entry.state !== "sent" || entry.text === null) return;
    const act = { r: "reply", "+": "react", e: "edit", Delete: "remove" }[event.key];
    if (!act) return;
    event.preventDefault();
    this.toolbar.attach(node);
    this.toolbar.run(act);
  }
}
