// The head of an open conversation: its name, who is here, joining; and the dialog about it.

import { byId, el, paint } from "../dom.js";

const NAMES_MAX = 100;

/** `join()`, `leave()`, `rename(title)`, `add(user)`: promises. */
export class RoomView {
  constructor(actions) {
    this.actions = actions;
    this.conversation = null;
    this.dialog = byId("about-dialog");
    byId("join").addEventListener("click", () => this.attempt(actions.join(), byId("toast")));
    byId("show-about").addEventListener("click", () => {
      byId("about-trouble").textContent = "";
      this.dialog.showModal();
    });
    byId("leave").addEventListener("click", async () => {
      if (await this.attempt(actions.leave())) this.dialog.close();
    });
    this.form("rename-form", "rename", (title) => actions.rename(title));
    this.form("add-form", "add", (user) => actions.add(user));
  }

  form(id, inputId, act) {
    byId(id).addEventListener("submit", async (event) => {
      event.preventDefault();
      const input = byId(inputId);
      const value = input.value.trim();
      if (value && (await this.attempt(act(value)))) input.value = "";
    });
  }

  async attempt(done, where = byId("about-trouble")) {
    where.textContent = "";
    try {
      await done;
      return true;
    } catch (error) {
      where.textContent = error.message;
      return false;
    }
  }

  show(conversation) {
    this.conversation = conversation;
    this.names = null;
    byId("open").hidden = false;
    byId("nothing").hidden = true;
    byId("room-title").textContent = conversation.id;
    this.drawAbout();
    this.drawPeople();
  }

  hide() {
    this.conversation = null;
    byId("open").hidden = true;
    byId("nothing").hidden = false;
  }

  get title() {
    return this.conversation?.about?.title ?? this.conversation?.id ?? "";
  }

  drawAbout() {
    const { about, role, moderates } = this.conversation;
    byId("room-title").textContent = this.title;
    byId("join").hidden = !about || role !== null || about.visibility !== "open";
    byId("show-about").disabled = !about;
    byId("leave").hidden = role === null;
    byId("rename-form").hidden = !moderates;
    byId("add-form").hidden = !moderates;
    if (!about) return;
    const shown = about.members.slice(0, NAMES_MAX).map(({ user, role: as }) => (as === "member" ? user : `${user} (${as})`));
    if (about.members.length > NAMES_MAX) shown.push(`${about.members.length - NAMES_MAX} more`);
    const facts = {
      Title: about.title ?? "none",
      Id: about.conversation,
      Visibility: `${about.visibility}${about.archived ? ", archived" : ""}`,
      Begun: `${new Date(about.created_at).toLocaleString()} by ${about.creator}`,
      Members: shown.join(", "),
    };
    const pairs = Object.entries(facts).flatMap(([name, value]) => [el("dt", {}, name), el("dd", { dir: "auto" }, value)]);
    byId("about-facts").replaceChildren(...pairs);
  }

  drawPeople() {
    const { people } = this.conversation;
    const names = people.join(" ");
    if (names === this.names) return;
    this.names = names;
    byId("people-count").textContent = people.length === 0 ? "" : `${people.length} here`;
    const items = people.slice(0, NAMES_MAX).map((user) => paint(el("li", { dir: "auto", data: { user } }, user), user));
    byId("people").replaceChildren(...items);
  }
}
