// Where messages are written: new ones, replies and edits. Keeps what was begun in each conversation.

import { byId } from "../dom.js";
import { TEXT_BYTES_MAX, TEXT_BYTES_NEAR, byteLength, meant, whyNot } from "../words.js";
import { short } from "./message.js";

/** `post({text, style, replyTo})`, `edit(id, text)` (a promise), `editLast()`. */
export class Composer {
  constructor(actions) {
    this.actions = actions;
    this.box = byId("composer");
    this.note = byId("composer-note");
    this.drafts = new Map();
    this.conversation = null;
    this.reset();
    byId("composer-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    byId("context-cancel").addEventListener("click", () => this.cancel());
    this.box.addEventListener("input", () => this.typed());
    this.box.addEventListener("keydown", (event) => this.pressed(event));
  }

  reset() {
    this.replyTo = null;
    this.editing = null;
    this.before = "";
    byId("context").hidden = true;
  }

  /** Goes over to another conversation; what was begun in this one waits there. */
  show(id) {
    if (this.conversation) this.drafts.set(this.conversation, this.editing ? this.before : this.box.value);
    this.conversation = id;
    this.reset();
    this.write(this.drafts.get(id) ?? "");
  }

  focus() {
    this.box.focus({ preventScroll: true });
  }

  write(text) {
    this.box.value = text;
    this.typed();
  }

  reply({ id, author, text }) {
    if (this.editing) this.cancel();
    this.replyTo = id;
    this.context(`Reply to ${author}: ${short(text)}`);
    this.focus();
  }

  edit({ id, text }) {
    if (!this.editing) this.before = this.box.value;
    this.replyTo = null;
    this.editing = id;
    this.context("Edit your message");
    this.write(text);
    this.focus();
    this.box.setSelectionRange(text.length, text.length);
  }

  context(words) {
    byId("context-text").textContent = words;
    byId("context").hidden = false;
  }

  cancel() {
    const { editing, before } = this;
    this.reset();
    if (editing) this.write(before);
    this.focus();
  }

  async send() {
    const typed = this.box.value;
    const why = whyNot(typed);
    if (why) return this.say(why);
    if (this.editing) return this.amend(this.editing, typed);
    const { replyTo } = this;
    this.reset();
    this.write("");
    this.actions.post({ ...meant(typed), replyTo });
    this.focus();
  }

  /** An edit stays in the box until the log has it. */
  async amend(id, text) {
    try {
      await this.actions.edit(id, text);
      if (this.editing === id) this.cancel();
    } catch (error) {
      this.say(error.message);
    }
  }

  typed() {
    // As high as what is written, up to what the style allows.
    this.box.style.height = "auto";
    this.box.style.height = `${this.box.scrollHeight + 2}px`;
    const bytes = byteLength(this.box.value);
    const left = TEXT_BYTES_MAX - bytes;
    this.note.classList.toggle("over", left < 0);
    if (bytes < TEXT_BYTES_NEAR) this.say("");
    else if (left < 0) this.say(`${(-left).toLocaleString()} bytes too long`);
    else this.say(`${left.toLocaleString()} bytes left`);
  }

  say(words) {
    this.note.textContent = words;
  }

  pressed(event) {
    // Enter also ends the composition of a character; that one is not for us.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.send();
    } else if (event.key === "ArrowUp" && this.box.value === "" && !this.editing) {
      event.preventDefault();
      this.actions.editLast();
    } else if (event.key === "Escape" && (this.editing || this.replyTo)) {
      event.preventDefault();
      this.cancel();
    }
  }
}
