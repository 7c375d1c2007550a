// The list of one's own conversations: links with one tab stop, filtered as one types.

import { byId, el, rove } from "../dom.js";

const COUNT_MAX = 100;

/** Shows what `Directory` knows. `onMore()`: the next page is asked for. */
export class ListView {
  constructor({ onMore }) {
    this.list = byId("conversations");
    this.filter = byId("filter");
    this.note = byId("conversations-note");
    this.more = byId("more-conversations");
    this.items = [];
    this.current = null;
    this.ready = false;
    this.activate = rove(this.list, () => [...this.list.querySelectorAll("a")]);
    this.filter.addEventListener("input", () => this.draw());
    this.filter.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown") return;
      event.preventDefault();
      this.list.querySelector("a")?.focus();
    });
    this.more.addEventListener("click", onMore);
  }

  show(items, more) {
    this.ready = true;
    this.items = items;
    this.more.hidden = !more;
    this.draw();
  }

  select(id) {
    this.current = id;
    this.draw();
  }

  draw() {
    const wanted = this.filter.value.trim().toLocaleLowerCase();
    const fits = ({ conversation, title }) => `${conversation} ${title ?? ""}`.toLocaleLowerCase().includes(wanted);
    const shown = this.items.filter(fits);
    const focused = this.list.contains(document.activeElement) && document.activeElement.dataset.conversation;
    this.list.replaceChildren(...shown.map((item) => el("li", {}, this.link(item))));
    this.note.textContent = this.words(shown);
    const links = [...this.list.querySelectorAll("a")];
    const stop = links.find((link) => link.dataset.conversation === (focused || this.current)) ?? links[0];
    this.activate(stop ?? null, { focus: Boolean(focused) });
  }

  /** As far as the server counts: the last number stands for "or more". */
  count(unread, mentions) {
    const many = (number) => (number >= COUNT_MAX ? `${COUNT_MAX - 1}+` : `${number}`);
    const words = mentions > 0 ? `, ${many(unread)} unread, ${many(mentions)} to you` : `, ${many(unread)} unread`;
    const shown = el("span", { ariaHidden: "true" }, `${mentions > 0 ? "@ " : ""}${many(unread)}`);
    return el("span", { class: "unread" }, shown, el("span", { class: "unseen" }, words));
  }

  words(shown) {
    if (!this.ready) return "Loading…";
    if (this.items.length === 0) return "No conversations yet. Begin one, or open one by its id.";
    return shown.length === 0 ? "Nothing fits the filter." : "";
  }

  link({ conversation, title, visibility, archived, unread, mentions }) {
    const name = el("span", { class: "title", dir: "auto" }, title ?? conversation);
    const about = [visibility === "private" && "private", archived && "archived"].filter(Boolean).join(", ");
    const link = el("a", { href: `#c=${encodeURIComponent(conversation)}`, tabIndex: -1, data: { conversation } }, name);
    if (title && title !== conversation) link.append(el("span", { class: "id" }, conversation));
    if (about) link.append(el("span", { class: "badge" }, about));
    if (unread > 0 && conversation !== this.current) link.append(this.count(unread, mentions));
    if (conversation === this.current) link.setAttribute("aria-current", "page");
    return link;
  }
}
