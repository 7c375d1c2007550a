// Two people in two pages of a real browser, before, while and after the server is killed. The test that starts this
// script kills the server when it reads "kill" and restarts it when it reads "restart".

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const { URL: ADDRESS, BROWSER } = process.env;
const CONVERSATION = "tea";
const WAIT_MS = 30_000;
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const MARKUP = `<script>window.harmed = 1</script><img src="x" onerror="window.harmed = 1"> & <b>bold</b>`;
const steps = [];
const orders = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function step(name, run) {
  try {
    await run();
  } catch (error) {
    error.message = `${name}: ${error.message}`;
    throw error;
  }
  steps.push(name);
}

/** Has the test do something with the server. */
async function ask(what) {
  console.log(what);
  const { value } = await orders.next();
  assert.equal(value, "done");
}

/** One person: a profile of one's own, and one page in it. */
class Person {
  static async arrive(handle, options = {}) {
    const profile = await mkdtemp(join(tmpdir(), "tidings-browser-"));
    const settings = { executablePath: BROWSER, headless: true, args: ARGS, viewport: { width: 1100, height: 760 }, ...options };
    const context = await chromium.launchPersistentContext(profile, settings);
    const page = context.pages()[0] ?? (await context.newPage());
    page.setDefaultTimeout(WAIT_MS);
    const person = new Person();
    Object.assign(person, { handle, profile, context, page, trouble: [] });
    page.on("pageerror", (error) => person.trouble.push(String(error)));
    await page.goto(ADDRESS);
    return person;
  }

  id(name) {
    return this.page.getByTestId(name);
  }

  async signIn() {
    await this.id("handle-input").fill(this.handle);
    await this.id("sign-in").click();
    await this.connected();
  }

  connected() {
    return this.page.waitForSelector(`[data-testid="connection-state"][data-state="connected"]`);
  }

  away() {
    return this.page.waitForSelector(`[data-testid="connection-state"]:not([data-state="connected"])`);
  }

  async open(conversation) {
    await this.id("open-input").fill(conversation);
    await this.id("open-conversation").click();
    await this.id("composer").waitFor();
  }

  async say(text) {
    await this.id("composer").fill(text);
    await this.id("send").click();
  }

  /** Waits until the page shows so many messages and all of them are sent. */
  async settled(count) {
    const look = (wanted) => {
      const all = [...document.querySelectorAll('[data-testid="message"]')];
      return all.length >= wanted && all.every((message) => message.dataset.state === "sent");
    };
    await this.page.waitForFunction(look, count).catch(async (error) => {
      throw new Error(`${this.handle} does not see ${count} messages: ${JSON.stringify(await this.seen())}: ${error.message}`);
    });
    return this.seen();
  }

  /** What stands on the page: id, text and state of each message. */
  seen() {
    return this.page.evaluate(() =>
      [...document.querySelectorAll('[data-testid="message"]')].map((message) => ({
        id: message.dataset.messageId,
        text: message.querySelector('[data-testid="text"]')?.textContent,
        state: message.dataset.state,
      })),
    );
  }

  async leave() {
    await this.context.close();
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
    assert.deepEqual(this.trouble, [], `${this.handle}: errors on the page`);
  }
}

const ann = await Person.arrive("ann");
const bob = await Person.arrive("bob");
let said = [];

await step("two people meet in a new conversation", async () => {
  await Promise.all([ann.signIn(), bob.signIn()]);
  await ann.id("new-conversation").click();
  await ann.id("conversation-title-input").fill("Tea & cake");
  await ann.id("conversation-id-input").fill(CONVERSATION);
  await ann.id("create-conversation").click();
  await ann.id("composer").waitFor();
  await bob.open(CONVERSATION);
  await ann.say("hello from ann");
  await bob.page.getByText("hello from ann").waitFor();
  await bob.say("hello from bob");
  await ann.page.getByText("hello from bob").waitFor();
  said = ["hello from ann", "hello from bob"];
});

await step("an EventSource follows from the beginning", async () => {
  const first = await ann.page.evaluate(async (conversation) => {
    const guest = await fetch("/v1/guest", { method: "POST", body: JSON.stringify({ user: "sue" }) });
    const { token } = (await guest.json()).data;
    window.stream = { token, lines: [], ids: [] };
    const source = new EventSource(`/v1/conversations/${conversation}/stream?from=0&access_token=${token}`);
    return new Promise((resolve, reject) => {
      source.onmessage = ({ data, lastEventId }) => {
        window.stream.lines.push(data);
        window.stream.ids.push(lastEventId);
        resolve(JSON.parse(data).type);
      };
      source.onerror = () => source.readyState === EventSource.CLOSED && reject(new Error("the stream is closed"));
    });
  }, CONVERSATION);
  assert.equal(first, "ConversationCreated");
});

await step("markup stays text", async () => {
  await ann.say(MARKUP);
  said.push(MARKUP);
  for (const person of [ann, bob]) {
    const seen = await person.settled(said.length);
    assert.equal(seen.at(-1).text, MARKUP);
    assert.equal(await person.page.evaluate(() => window.harmed), undefined);
    assert.equal(await person.page.locator('[data-testid="message"] :is(script, img, b:not(.author))').count(), 0);
  }
});

await step("both type on while the server is dead, and nothing is lost or doubled", async () => {
  await ann.say("ann before the kill");
  await bob.say("bob before the kill");
  await ask("kill");
  await Promise.all([ann.away(), bob.away()]);
  for (const person of [ann, bob]) {
    await person.say(`${person.handle} while it is dead 1`);
    await person.say(`${person.handle} while it is dead 2`);
  }
  await ask("restart");
  await Promise.all([ann.connected(), bob.connected()]);
  await ann.say("ann after the restart");
  await bob.say("bob after the restart");
  for (const { handle } of [ann, bob]) {
    said.push(`${handle} before the kill`, `${handle} while it is dead 1`);
    said.push(`${handle} while it is dead 2`, `${handle} after the restart`);
  }
  const [hers, his] = [await ann.settled(said.length), await bob.settled(said.length)];
  assert.deepEqual(hers, his);
  assert.deepEqual(hers.map(({ text }) => text).sort(), [...said].sort());
  assert.equal(new Set(hers.map(({ id }) => id)).size, said.length);
  for (const { handle } of [ann, bob]) {
    const own = hers.map(({ text }) => text).filter((text) => text.startsWith(`${handle} `));
    assert.deepEqual(own, said.filter((text) => text.startsWith(`${handle} `)), "each is read in the order of writing");
  }
});

await step("and has seen every event once, over the kill", async () => {
  const { seen, ids, events } = await ann.page.evaluate(async (conversation) => {
    const headers = { authorization: `Bearer ${window.stream.token}` };
    const answer = await fetch(`/v1/conversations/${conversation}/events`, { headers });
    const events = (await answer.text()).trimEnd().split("\n");
    while (window.stream.lines.length < events.length) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // What was read a moment later, such as a read marker, is in the one and not yet in the other.
    const cut = (list) => list.slice(0, events.length);
    return { seen: cut(window.stream.lines), ids: cut(window.stream.ids), events };
  }, CONVERSATION);
  assert.deepEqual(seen, events);
  assert.deepEqual(ids.map((id) => Number(id.split(":").at(-1))), events.map((line) => JSON.parse(line).offset));
});

await step("a reload shows the same", async () => {
  const before = await ann.seen();
  await ann.page.reload();
  await ann.connected();
  assert.deepEqual(await ann.settled(said.length), before);
});

await step("what is unread is counted in the list, until it is read", async () => {
  const listed = (conversation) => ann.page.locator(`#conversations [data-conversation="${conversation}"]`);
  const counted = (text) => {
    const look = (wanted) => {
      const count = document.querySelector('#conversations [data-conversation="tea"] .unread');
      return (count?.firstChild.textContent ?? null) === wanted;
    };
    return ann.page.waitForFunction(look, text);
  };
  // Who says something has read what stood before.
  await ann.say("one moment");
  said.push("one moment");
  await ann.settled(said.length);
  await ann.id("new-conversation").click();
  await ann.id("conversation-id-input").fill("den");
  await ann.id("create-conversation").click();
  await ann.page.waitForFunction(() => location.hash === "#c=den");
  for (const text of ["where are you", "@ann, tea?"]) {
    await bob.say(text);
    said.push(text);
  }
  await bob.settled(said.length);
  await counted("@ 2");
  await listed("tea").click();
  await ann.settled(said.length);
  await counted(null);
  await listed("den").click();
  await ann.page.waitForFunction(() => location.hash === "#c=den");
  await counted(null);
  await listed("tea").click();
  await ann.settled(said.length);
});

await step("a phone shows no more than its width", async () => {
  const eve = await Person.arrive("eve", { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const fits = async (where) => {
    const [wide, room] = await eve.page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(wide <= 360 && room <= 360, `${where}: ${wide} px of ${room}`);
  };
  await fits("signing in");
  await eve.signIn();
  await fits("the list");
  await eve.open(CONVERSATION);
  await eve.settled(said.length);
  await fits("the conversation");
  const long = `${"w".repeat(300)} https://example.org/${"x".repeat(200)}`;
  await eve.say(long);
  said.push(long);
  await eve.settled(said.length);
  await fits("a long word");
  await eve.leave();
});

await step("everything goes by keyboard alone", async () => {
  const kim = await Person.arrive("kim");
  const { keyboard } = kim.page;
  const focus = () => kim.page.evaluate(() => document.activeElement?.dataset.testid ?? document.activeElement?.id ?? "");
  const tabTo = async (wanted) => {
    for (let presses = 0; (await focus()) !== wanted; presses += 1) {
      assert.ok(presses < 40, `${wanted} cannot be reached by Tab`);
      await keyboard.press("Tab");
    }
  };
  await tabTo("handle-input");
  await keyboard.type("kim");
  await keyboard.press("Enter");
  await kim.connected();
  await tabTo("open-input");
  await keyboard.type(CONVERSATION);
  await keyboard.press("Enter");
  await kim.settled(said.length);
  await tabTo("composer");
  await keyboard.type("without a mouse");
  await keyboard.press("Enter");
  said.push("without a mouse");
  await kim.settled(said.length);
  await ann.settled(said.length);
  await tabTo("new-conversation");
  await keyboard.press("Enter");
  await tabTo("conversation-id-input");
  await keyboard.type("keys");
  await keyboard.press("Enter");
  await kim.page.waitForFunction(() => location.hash === "#c=keys" && document.activeElement.id === "composer");
  await keyboard.type("alone");
  await keyboard.press("Enter");
  assert.deepEqual((await kim.settled(1)).map(({ text }) => text), ["alone"]);
  await kim.leave();
});

const messages = await ann.settled(said.length);
await ann.leave();
await bob.leave();
process.stdout.write(`${JSON.stringify({ steps, messages })}\n`, () => process.exit(0));
