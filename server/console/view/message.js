// How one entry of the timeline looks: a message or a notice. Texts become text nodes, byte for byte.

import { el, paint } from "../dom.js";

const GROUP_MS = 5 * 60_000;
const QUOTE_LEN = 120;

const timeOf = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dayOf = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

/** The local day of a time, for telling days apart. */
export function dayKey(at) {
  return new Date(at).toDateString();
}

/** Whether an entry goes on under the name of the one before. */
export function continues(entry, before) {
  return (
    before?.kind === "message" &&
    entry.kind === "message" &&
    before.author === entry.author &&
    before.style === "plain" &&
    entry.style === "plain" &&
    !entry.replyTo &&
    dayKey(before.at) === dayKey(entry.at) &&
    Math.abs(Date.parse(entry.at) - Date.parse(before.at)) < GROUP_MS
  );
}

export function daySeparator(at) {
  return el("li", { class: "day" }, el("time", { dateTime: at.slice(0, 10) }, dayOf.format(new Date(at))));
}

/** `timeline` is asked for what a message quotes. */
export function render(entry, timeline) {
  return entry.kind === "notice" ? notice(entry) : message(entry, timeline);
}

function message(entry, timeline) {
  const withdrawn = entry.text === null;
  const node = el("li", {
    class: `message ${entry.style}`,
    tabIndex: -1,
    data: { testid: "message", messageId: entry.id, state: entry.state, author: entry.author },
  });
  if (entry.offset !== null) node.dataset.offset = entry.offset;
  if (entry.author === timeline.me) node.classList.add("own");
  if (withdrawn) node.classList.add("withdrawn");
  const face = el("span", { class: "face", ariaHidden: "true" }, [...entry.author][0].toUpperCase());
  const author = el("span", { class: "author", dir: "auto" }, entry.author);
  const head = el("p", { class: "by" }, author, " ", time(entry.at));
  if (entry.editedAt && !withdrawn) {
    head.append(" ", el("span", { class: "edited", title: `Edited ${entry.editedAt}` }, "edited"));
  }
  paint(node, entry.author);
  node.append(face, head);
  if (entry.replyTo) node.append(quote(entry.replyTo, timeline));
  node.append(withdrawn ? placeholder(entry) : text(entry));
  if (!withdrawn && entry.reactions.size > 0) node.append(reactions(entry, timeline.me));
  if (entry.state === "pending") node.append(el("p", { class: "fate" }, "Sending…"));
  if (entry.state === "failed") node.append(failure(entry));
  return node;
}

function time(at) {
  const when = new Date(at);
  return el("time", { dateTime: at, title: when.toISOString() }, timeOf.format(when));
}

function text(entry) {
  const node = el("p", { class: "text", dir: "auto", data: { testid: "text" } });
  // Odd pieces are addresses. Together the pieces are the text, unchanged.
  entry.text.split(/(https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]])/).forEach((piece, at) => {
    if (at % 2 === 0) node.append(piece);
    else node.append(el("a", { href: piece, target: "_blank", rel: "noopener noreferrer", tabIndex: -1 }, piece));
  });
  return node;
}

function placeholder({ redactedBy, author }) {
  const by = redactedBy && redactedBy !== author ? ` by ${redactedBy}` : "";
  return el("p", { class: "text", data: { testid: "redacted" } }, `This message was deleted${by}.`);
}

function quote(id, timeline) {
  const quoted = timeline.get(id);
  const node = el("button", { type: "button", class: "quote", tabIndex: -1, data: { quotes: id, testid: "quote" } });
  if (!quoted) return el("p", { class: "quote" }, "In reply to an earlier message");
  const said = quoted.text === null ? "deleted message" : short(quoted.text);
  node.append(el("span", { class: "unseen" }, "In reply to "), el("b", { dir: "auto" }, quoted.author), " ");
  node.append(el("span", { dir: "auto" }, said));
  return paint(node, quoted.author);
}

/** The beginning of a text, on one line. */
export function short(said) {
  const line = said.replace(/\s+/g, " ").trim();
  const chars = [...line];
  return chars.length > QUOTE_LEN ? `${chars.slice(0, QUOTE_LEN).join("")}…` : line;
}

function reactions(entry, me) {
  const list = el("ul", { class: "reactions", ariaLabel: "Reactions" });
  for (const [emoji, users] of entry.reactions) {
    const names = [...users].join(", ");
    const button = el("button", { type: "button", tabIndex: -1, title: names, data: { emoji, testid: "reaction" } });
    button.ariaPressed = String(users.has(me));
    button.ariaLabel = `${emoji} ${users.size}: ${names}`;
    button.append(el("span", {}, emoji), " ", el("span", { class: "count" }, String(users.size)));
    list.append(el("li", {}, button));
  }
  return list;
}

function failure({ reason }) {
  const again = el("button", { type: "button", data: { act: "retry", testid: "retry" } }, "Try again");
  const drop = el("button", { type: "button", class: "plain", data: { act: "discard", testid: "discard" } }, "Discard");
  return el("p", { class: "fate failed" }, el("span", {}, `Not sent: ${reason}`), again, drop);
}

function notice(entry) {
  return el("li", { class: "notice", data: { testid: "notice", offset: entry.offset } }, ...said(entry), " ", time(entry.at));
}

/** What a notice says. Names are set apart, so that their direction of writing stays their own. */
function said({ type, actor, body }) {
  const name = (user) => el("bdi", {}, user);
  switch (type) {
    case "ConversationCreated":
      return [name(actor), " began the conversation"];
    case "ConversationChanged":
      if (body.title) return [name(actor), " changed the title to “", name(body.title), "”"];
      return [name(actor), body.archived ? " archived the conversation" : " opened the conversation again"];
    case "MemberJoined":
      if (body.member === actor) return [name(actor), " joined"];
      return [name(actor), " added ", name(body.member)];
    case "MemberLeft":
      return [name(actor), " left", ...(body.parting_words ? [": “", name(body.parting_words), "”"] : [])];
    case "MemberRemoved":
      return [name(actor), " removed ", name(body.member)];
    case "MemberRenamed":
      return [name(actor), " is now called ", name(body.to)];
    default:
      return [name(actor), " made ", name(body.member), ` ${body.role === "member" ? "a member" : `an ${body.role}`.replace("an m", "a m")}`];
  }
}

/** A new entry in words, for those who listen. */
export function spoken(entry) {
  if (entry.kind === "notice") return said(entry).map((part) => part.textContent ?? part).join("");
  return `${entry.author}${entry.style === "action" ? "" : ":"} ${short(entry.text)}`;
}
