// One's own conversations, page by page, the latest first. No DOM.

const PAGE_LEN = 200;

export class Directory {
  constructor({ api, onChange }) {
    Object.assign(this, { api, onChange });
    this.items = new Map();
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

  tell() {
    const latestFirst = (a, b) => Date.parse(b.last_at) - Date.parse(a.last_at) || a.conversation.localeCompare(b.conversation);
    this.onChange([...this.items.values()].sort(latestFirst), this.more);
  }
}
