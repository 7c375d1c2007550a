// One's own conversations, page by page, the latest first, and what is unread in them. No DOM.

const PAGE_LEN = 200;
const UNREAD_LEN = 1000;

/** `rpc`: as that of the socket. `onChange(items, more)`. `onStranger()`: a conversation is told of that is not listed. */
export class Directory {
  constructor({ api, rpc, onChange, onStranger = () => {}, now = Date.now }) {
    Object.assign(this, { api, rpc, onChange, onStranger, now });
    this.items = new Map();
    this.unread = new Map();
    /** What was told since the inbox was asked for: newer than the answer. */
    this.told = new Set();
    /** Told of and not listed: perhaps on a page that was not read. */
    this.strangers = new Set();
    this.more = false;
    this.pages = 1;
  }

  get(id) {
    return this.items.get(id);
  }

  /** Reads again what was read before. */
  async refresh() {
    const items = new Map();
    let more = true;
    let after;
    for (let page = 0; page < this.pages && more; page += 1) {
      const answer = await this.api.conversations(after, PAGE_LEN);
      for (const item of answer.conversations) items.set(item.conversation, item);
      after = answer.conversations.at(-1)?.conversation;
      more = answer.more;
    }
    this.items = items;
    this.more = more;
    this.tell();
  }

  /** Reads one page more. */
  next() {
    this.pages += 1;
    return this.refresh();
  }

  /** The subscription to the inbox begins: what it tells from now on is newer than what is read here. */
  async readInbox() {
    this.told = new Set();
    const { told } = this;
    const { conversations } = await this.rpc("inbox.list", { unread: true, limit: UNREAD_LEN });
    if (this.told !== told) return;
    const kept = [...this.unread].filter(([conversation]) => told.has(conversation));
    const read = conversations.filter(({ conversation }) => !told.has(conversation));
    this.unread = new Map([...kept, ...read.map((entry) => [entry.conversation, entry])]);
    this.tell();
  }

  /** News of the inbox. */
  heed(entry) {
    const { conversation, offset, gone = false } = entry;
    this.told.add(conversation);
    this.unread.set(conversation, entry);
    const item = this.items.get(conversation);
    if (gone) {
      this.items.delete(conversation);
      this.strangers.delete(conversation);
    } else if (!item) {
      if (this.strangers.has(conversation)) return;
      this.strangers.add(conversation);
      return this.onStranger();
    } else if (offset > item.last_offset) {
      Object.assign(item, { last_offset: offset, last_at: new Date(this.now()).toISOString() });
    }
    this.tell();
  }

  tell() {
    const latestFirst = (a, b) => Date.parse(b.last_at) - Date.parse(a.last_at) || a.conversation.localeCompare(b.conversation);
    const counted = ({ unread = 0, mentions = 0 } = {}) => ({ unread, mentions });
    const items = [...this.items.values()].map((item) => ({ ...item, ...counted(this.unread.get(item.conversation)) }));
    this.onChange(items.sort(latestFirst), this.more);
  }
}
