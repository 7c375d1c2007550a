// What can be done with a message. There is one toolbar; it sits in the message under the pointer or the focus.

import { el } from "../dom.js";

export const EMOJIS = ["👍", "❤️", "😂", "🎉", "😮", "😢"];

/** `entryOf(node)`, `me()`, `moderates()`; `react(id, emoji)`, `reply(id)`, `edit(id)`, `remove(id)`. */
export class Toolbar {
  constructor(actions) {
    this.actions = actions;
    this.holder = null;
    this.buttons = {
      react: this.button("react", "React", "☺"),
      reply: this.button("reply", "Reply", "↩"),
      edit: this.button("edit", "Edit", "✎"),
      remove: this.button("remove", "Delete", "✕"),
    };
    this.buttons.react.ariaExpanded = "false";
    this.picker = el("div", { class: "picker", role: "group", ariaLabel: "Reactions", hidden: true });
    for (const emoji of EMOJIS) {
      this.picker.append(el("button", { type: "button", ariaLabel: `React with ${emoji}`, data: { emoji, testid: "emoji" } }, emoji));
    }
    this.node = el("div", { class: "toolbar", role: "group", ariaLabel: "Message actions" });
    this.node.append(this.picker, ...Object.values(this.buttons));
    this.node.addEventListener("click", (event) => this.clicked(event));
    this.node.addEventListener("keydown", (event) => this.pressed(event));
  }

  button(act, label, sign) {
    return el("button", { type: "button", ariaLabel: label, title: label, data: { does: act, testid: `act-${act}` } }, sign);
  }

  attach(node) {
    const entry = this.actions.entryOf(node);
    if (this.holder !== node) this.pick(false);
    // Moving it would take the focus with it into nowhere.
    const focused = this.node.contains(document.activeElement) && this.holder !== node;
    if (focused) this.holder?.focus({ preventScroll: true });
    this.holder = node;
    const own = entry.author === this.actions.me();
    this.buttons.edit.hidden = !own;
    this.buttons.remove.hidden = !own && !this.actions.moderates();
    for (const button of this.node.querySelectorAll("button")) button.tabIndex = node.tabIndex;
    if (this.node.parentNode !== node) node.append(this.node);
  }

  detach() {
    this.pick(false);
    this.node.remove();
    this.holder = null;
  }

  pick(shown) {
    this.picker.hidden = !shown;
    this.buttons.react.ariaExpanded = String(shown);
  }

  run(act) {
    const entry = this.holder && this.actions.entryOf(this.holder);
    if (!entry || this.buttons[act].hidden) return;
    if (act !== "react") return this.actions[act](entry.id);
    this.pick(this.picker.hidden);
    if (!this.picker.hidden) this.picker.firstChild.focus();
  }

  clicked({ target }) {
    const button = target.closest("button");
    if (button?.dataset.does) this.run(button.dataset.does);
    // The list sees the click on an emoji too and reacts.
    if (button?.dataset.emoji) {
      const { holder } = this;
      this.pick(false);
      holder.focus({ preventScroll: true });
    }
  }

  pressed(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape" && !this.picker.hidden) {
      event.preventDefault();
      event.stopPropagation();
      this.pick(false);
      this.buttons.react.focus();
    } else if (step) {
      const all = [...this.node.querySelectorAll("button")].filter((button) => button.offsetParent);
      event.preventDefault();
      all[(all.indexOf(document.activeElement) + step + all.length) % all.length]?.focus();
    }
  }
}
