// What a conversation looks like: pages of messages and single events, folded into a list of entries. Pure, no DOM.
//
// Entries stand in the order of their offsets, pending messages after them in the order of sending. An event at or
// below `position` changes nothing. The list is one stretch without holes: `older` and `newer` say whether the
// conversation goes on beyond its ends. Every entry has a `revision`, which rises when it looks different.

/** Most entries that are kept; `trim` drops the others. */
export const KEPT_MAX = 1_000;
/** Most events that are remembered for pages that were read before they happened. */
const LATE_MAX = 1_000;

const NOTICES = new Set([
  "ConversationCreated",
  "ConversationChanged",
  "MemberJoined",
  "MemberLeft",
  "MemberRemoved",
  "MemberRenamed",
  "RoleChanged",
]);

export class Timeline {
  constructor(me) {
    this.me = me;
    this.clear();
    this.pending = [];
  }

  clear() {
    this.placed = [];
    this.messages = new Map();
    this.position = 0;
    this.epoch = "";
    this.older = false;
    this.newer = false;
    this.late = [];
  }

  /** Everything in the order in which it is shown. */
  get entries() {
    return this.newer ? this.placed : [...this.placed, ...this.pending];
  }

  get(id) {
    return this.messages.get(id);
  }

  /**
   * Starts afresh with the newest page. Pending messages that are in it are confirmed, the others stay, and so does what I said and was
   * confirmed while the page was read: its event is still to come.
   */
  load(page) {
    const isMine = (entry) => entry.kind === "message" && entry.author === this.me && entry.offset > page.offset;
    const said = this.epoch === "" || this.epoch === page.epoch ? this.placed.filter(isMine) : [];
    this.clear();
    this.position = page.offset;
    this.epoch = page.epoch;
    this.older = page.more;
    for (const entry of this.pending) this.messages.set(entry.id, entry);
    for (const message of page.messages) this.insert(message, page.offset);
    for (const entry of said) this.place(entry);
  }

  /** Takes a page that ends where the list begins. */
  prepend(page) {
    const known = new Set(this.messages.keys());
    for (const message of page.messages) this.insert(message, page.offset);
    this.older = page.more;
    this.catchUp(page, known);
  }

  /** Takes a page that begins where the list ends. The gap is closed once it holds all that was ever pushed. */
  append(page) {
    const known = new Set(this.messages.keys());
    for (const message of page.messages) this.insert(message, page.offset);
    if (!page.more && page.offset >= this.position) this.newer = false;
    this.catchUp(page, known);
  }

  /** The position before which older pages end. */
  get begin() {
    return this.placed.find((entry) => entry.kind === "message")?.offset;
  }

  /** The position after which newer pages begin. */
  get end() {
    return this.placed.findLast((entry) => entry.kind === "message")?.offset;
  }

  /** Folds one event. Returns the entry that is new, if there is one. */
  apply(event, offset = event.offset) {
    if (offset <= this.position) return null;
    this.position = offset;
    if (event.body.message_id) {
      this.late.push({ event, offset });
      if (this.late.length > LATE_MAX) this.late.shift();
    }
    if (event.type === "MessagePosted") return this.posted(event, offset);
    if (NOTICES.has(event.type)) return this.noticed(event, offset);
    this.altered(event, offset);
    return null;
  }

  posted({ event_id: id, actor, occurred_at: at, body }, offset) {
    const there = this.messages.get(id);
    if (there) {
      this.confirm(id, offset, at);
      return null;
    }
    if (this.newer) return null;
    const { text, style = "plain", reply_to: replyTo } = body;
    return this.place(messageEntry({ id, offset, author: actor, text, style, replyTo, at, asOf: offset }));
  }

  noticed({ event_id: id, type, actor, occurred_at: at, body }, offset) {
    if (this.newer) return null;
    return this.place({ kind: "notice", key: `notice:${id}`, offset, type, actor, at, body, revision: 0 });
  }

  /** An edit, a redaction or a reaction. What the page of the message already knew is not done again. */
  altered({ type, actor, occurred_at: at, body }, offset) {
    const entry = this.messages.get(body.message_id);
    if (!entry || offset <= entry.asOf) return;
    entry.asOf = offset;
    if (type === "MessageEdited") Object.assign(entry, { text: body.text, editedAt: at });
    else if (type === "MessageRedacted") Object.assign(entry, { text: null, redactedAt: at, redactedBy: actor });
    else if (type === "ReactionAdded") react(entry.reactions, body.emoji, actor);
    else if (type === "ReactionRemoved") unreact(entry.reactions, body.emoji, actor);
    else return;
    entry.revision += 1;
    if (type === "MessageEdited" || type === "MessageRedacted") this.touchReplies((id) => id === entry.id);
  }

  // --- own messages on their way

  addPending({ id, text, style = "plain", replyTo = null, at, state = "pending", reason = "" }) {
    if (this.messages.has(id)) return;
    const entry = messageEntry({ id, offset: null, author: this.me, text, style, replyTo, at, asOf: 0 });
    Object.assign(entry, { state, reason });
    this.messages.set(id, entry);
    this.pending.push(entry);
  }

  /** The log has it: by the answer or by the event, whichever is first; the second changes nothing but the time. */
  confirm(id, offset, at) {
    const entry = this.messages.get(id);
    if (!entry) return;
    if (at && at !== entry.at) {
      entry.at = at;
      entry.revision += 1;
    }
    if (entry.state === "sent") return;
    this.pending = this.pending.filter((other) => other !== entry);
    Object.assign(entry, { offset, state: "sent", reason: "", asOf: offset, revision: entry.revision + 1 });
    if (this.newer) this.messages.delete(id);
    else this.place(entry);
  }

  fail(id, reason) {
    this.mark(id, "failed", reason);
  }

  /** On its way again, behind those that are waiting. */
  retry(id) {
    const entry = this.mark(id, "pending", "");
    if (entry) this.pending = [...this.pending.filter((other) => other !== entry), entry];
  }

  discard(id) {
    if (this.messages.get(id)?.state !== "failed") return;
    this.messages.delete(id);
    this.pending = this.pending.filter((entry) => entry.id !== id);
  }

  mark(id, state, reason) {
    const entry = this.messages.get(id);
    if (!entry || entry.state === "sent") return null;
    Object.assign(entry, { state, reason, revision: entry.revision + 1 });
    return entry;
  }

  // --- the stretch

  /** Drops what is too much from the far end: `"older"` or `"newer"`. */
  trim(end) {
    const over = this.placed.length - KEPT_MAX;
    if (over <= 0) return;
    const gone = end === "older" ? this.placed.splice(0, over) : this.placed.splice(KEPT_MAX, over);
    this[end] = true;
    for (const entry of gone) if (entry.kind === "message") this.messages.delete(entry.id);
  }

  /** The last own message that can still be edited. */
  lastOwn() {
    return this.placed.findLast((entry) => entry.author === this.me && entry.text !== null);
  }

  insert(message, asOf) {
    const { message_id: id, offset, author, text, style, reply_to: replyTo, occurred_at: at } = message;
    const there = this.messages.get(id);
    if (there?.state === "sent") return;
    if (there) this.pending = this.pending.filter((entry) => entry !== there);
    const entry = messageEntry({ id, offset, author, text, style, replyTo, at, asOf });
    const { edited_at: editedAt, redacted_at: redactedAt, redacted_by: redactedBy } = message;
    Object.assign(entry, { editedAt, redactedAt, redactedBy, revision: there ? there.revision + 1 : 0 });
    for (const { emoji, users } of message.reactions ?? []) entry.reactions.set(emoji, new Set(users));
    this.place(entry);
  }

  place(entry) {
    let at = this.placed.length;
    while (at > 0 && this.placed[at - 1].offset > entry.offset) at -= 1;
    this.placed.splice(at, 0, entry);
    if (entry.kind === "message") this.messages.set(entry.id, entry);
    return entry;
  }

  /** A page may be older than events that were seen while it was on its way. */
  catchUp(page, known) {
    for (const { event, offset } of this.late) {
      if (offset > page.offset && !known.has(event.body.message_id)) this.altered(event, offset);
    }
    this.touchReplies((id) => this.messages.has(id) && !known.has(id));
  }

  /** Quotes look different when what they quote does. */
  touchReplies(isMeant) {
    for (const entry of this.messages.values()) if (entry.replyTo && isMeant(entry.replyTo)) entry.revision += 1;
  }
}

function messageEntry({ id, offset, author, text, style, replyTo, at, asOf }) {
  return {
    kind: "message",
    key: id,
    id,
    offset,
    author,
    text,
    style,
    replyTo: replyTo ?? null,
    at,
    asOf,
    editedAt: null,
    redactedAt: null,
    redactedBy: null,
    reactions: new Map(),
    state: "sent",
    reason: "",
    revision: 0,
  };
}

function react(reactions, emoji, user) {
  const users = reactions.get(emoji) ?? new Set();
  users.add(user);
  reactions.set(emoji, users);
}

function unreact(reactions, emoji, user) {
  const users = reactions.get(emoji);
  users?.delete(user);
  if (users?.size === 0) reactions.delete(emoji);
}
