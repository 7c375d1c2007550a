import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { CallError, Socket, backoffMs, isTerminal } from "../socket.js";

class FakeWebSocket {
  static all = [];
  static get last() {
    return FakeWebSocket.all.at(-1);
  }

  constructor(url) {
    Object.assign(this, { url, frames: [], closed: false });
    FakeWebSocket.all.push(this);
  }

  send(frame) {
    this.frames.push(frame);
  }

  close() {
    this.closed = true;
  }

  // --- what the server does

  accept() {
    this.onopen({});
    this.answer({ connect: { client: "c1", version: "1", ping: 25, pong: true } });
    return this;
  }

  say(...objects) {
    this.onmessage({ data: objects.map((object) => JSON.stringify(object)).join("\n") });
  }

  answer(reply) {
    const kind = Object.keys(reply).find((key) => key !== "error") ?? "connect";
    const command = this.commands.findLast((sent) => kind in sent);
    this.say({ id: command.id, ...reply });
  }

  hangUp(code = 1006, reason = "") {
    this.onclose({ code, reason });
  }

  get commands() {
    return this.frames.flatMap((frame) => frame.split("\n")).map((line) => JSON.parse(line));
  }
}

let states;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  FakeWebSocket.all = [];
  states = [];
});

function opened(session = { token: "t1", renew: async () => false }) {
  const onState = (state, why) => states.push(why ? `${state}: ${why}` : state);
  const socket = new Socket({ url: "ws://test", session, onState, WebSocket: FakeWebSocket, random: () => 0, now: () => Date.now() });
  socket.open();
  return socket;
}

function watched(socket, position = { offset: 12, epoch: "k7" }) {
  const seen = [];
  socket.subscribe("tea", position, {
    onEvent: (data, offset) => seen.push([data.n, offset]),
    onSubscribed: () => seen.push("subscribed"),
    onLost: () => seen.push("lost"),
    onJoin: ({ user }) => seen.push(`+${user}`),
    onLeave: ({ user }) => seen.push(`-${user}`),
    onRefused: ({ code }) => seen.push(`refused ${code}`),
  });
  return seen;
}

const pub = (n, offset) => ({ push: { channel: "tea", pub: { data: { n }, offset } } });
const recovered = (...publications) => ({ subscribe: { epoch: "k7", offset: 12, recovered: true, was_recovering: true, publications } });

test("connect and every subscription go out in one frame", () => {
  const socket = opened();
  watched(socket);
  FakeWebSocket.last.onopen({});
  assert.equal(FakeWebSocket.last.frames.length, 1);
  assert.deepEqual(FakeWebSocket.last.commands, [
    { id: 1, connect: { token: "t1", name: "console" } },
    { id: 2, subscribe: { channel: "tea", recover: true, offset: 12, epoch: "k7", join_leave: true } },
  ]);
});

test("who subscribes between connect and its answer is not forgotten", () => {
  const socket = opened();
  FakeWebSocket.last.onopen({});
  watched(socket);
  FakeWebSocket.last.answer({ connect: { client: "c1", version: "1", ping: 25, pong: true } });
  const subscribes = FakeWebSocket.last.commands.filter((command) => command.subscribe);
  assert.deepEqual(subscribes.map(({ subscribe }) => subscribe.channel), ["tea"]);
});

test("the fill comes first, then what is live, each event once", () => {
  const socket = opened();
  const seen = watched(socket);
  const server = FakeWebSocket.last.accept();
  server.say(pub("early", 99));
  server.answer(recovered({ data: { n: "a" }, offset: 13 }, { data: { n: "b" }, offset: 20 }));
  server.say(pub("b", 20), pub("c", 31));
  assert.deepEqual(seen, [["a", 13], ["b", 20], "subscribed", ["c", 31]]);
});

test("after a lost connection it asks from the last event that it handed over", () => {
  const socket = opened();
  watched(socket);
  FakeWebSocket.last.accept().answer(recovered());
  FakeWebSocket.last.say(pub("a", 40));
  FakeWebSocket.last.hangUp();
  assert.deepEqual(states, ["connecting", "connected", "waiting"]);
  mock.timers.tick(300);
  FakeWebSocket.last.onopen({});
  assert.equal(FakeWebSocket.all.length, 2);
  assert.equal(FakeWebSocket.last.commands[1].subscribe.offset, 40);
});

test("a subscription without a position begins anew each time", () => {
  const socket = opened();
  const seen = [];
  socket.subscribe("@inbox", null, { onEvent: (data, offset) => seen.push([data, offset]), onSubscribed: () => seen.push("begins") });
  for (let time = 0; time < 2; time += 1) {
    FakeWebSocket.last.accept();
    assert.deepEqual(FakeWebSocket.last.commands[1].subscribe, { channel: "@inbox" });
    FakeWebSocket.last.answer({ subscribe: {} });
    FakeWebSocket.last.say({ push: { channel: "@inbox", pub: { data: time } } });
    FakeWebSocket.last.hangUp();
    mock.timers.tick(1_000);
  }
  assert.deepEqual(seen, ["begins", [0, 0], "begins", [1, 0]]);
});

test("ids rise over reconnects", () => {
  const socket = opened();
  FakeWebSocket.last.accept().hangUp();
  mock.timers.tick(300);
  FakeWebSocket.last.onopen({});
  assert.equal(FakeWebSocket.last.commands[0].id, 2);
  socket.stop();
});

test("a quiet conversation's position moves with an empty fill only", () => {
  const socket = opened();
  watched(socket);
  FakeWebSocket.last.accept().answer({ subscribe: { recovered: true, offset: 70, epoch: "k7" } });
  assert.equal(socket.subscriptions.get("tea").offset, 70);
});

test("a handler that throws does not keep the rest of the frame from its readers", (context) => {
  const said = context.mock.method(console, "error", () => {});
  const socket = opened();
  const seen = [];
  const onEvent = ({ n }) => {
    if (n === "bad") throw new Error("broken");
    seen.push(n);
  };
  socket.subscribe("tea", { offset: 1, epoch: "k7" }, { onEvent });
  const server = FakeWebSocket.last.accept();
  server.answer(recovered());
  server.say(pub("bad", 50), pub("good", 51));
  assert.deepEqual(seen, ["good"]);
  assert.equal(said.mock.callCount(), 1);
});

test("where continuity is not proven its user is told and the subscription ends", () => {
  const socket = opened();
  const seen = watched(socket);
  FakeWebSocket.last.accept().answer({ subscribe: { recovered: false, was_recovering: true, epoch: "k8", offset: 3 } });
  assert.deepEqual(seen, ["lost"]);
  assert.equal(socket.subscriptions.has("tea"), false);
});

test("several objects in one frame are taken in order, blank lines passed over", () => {
  const socket = opened();
  const seen = watched(socket);
  const server = FakeWebSocket.last.accept();
  server.answer(recovered());
  const lines = [pub("a", 13), { push: { channel: "tea", join: { info: { user: "bob", client: "x" } } } }, pub("b", 14)];
  server.onmessage({ data: `${lines.map((line) => JSON.stringify(line)).join("\n")}\n` });
  assert.deepEqual(seen, ["subscribed", ["a", 13], "+bob", ["b", 14]]);
});

test("a frame that cannot be read ends the connection", () => {
  opened();
  const server = FakeWebSocket.last.accept();
  server.onmessage({ data: "{" });
  assert.equal(server.closed, true);
  assert.equal(states.at(-1), "waiting");
});

test("a ping is answered", () => {
  opened();
  const server = FakeWebSocket.last.accept();
  server.say({});
  assert.equal(server.frames.at(-1), "{}");
});

test("silence for longer than a ping and its grace ends the connection; any frame counts as life", () => {
  opened();
  const server = FakeWebSocket.last.accept();
  mock.timers.tick(34_999);
  server.say({});
  mock.timers.tick(34_999);
  assert.equal(server.closed, false);
  mock.timers.tick(1);
  assert.equal(server.closed, true);
  assert.equal(states.at(-1), "waiting");
});

test("terminal close codes, at their limits", () => {
  const terminal = [1009, 3500, 3999, 4500, 4999];
  const passing = [1000, 1006, 1008, 1010, 3000, 3499, 4000, 4499, 5000];
  for (const code of terminal) assert.equal(isTerminal(code), true, String(code));
  for (const code of passing) assert.equal(isTerminal(code), false, String(code));
});

test("a terminal close stops it and says why", () => {
  opened();
  FakeWebSocket.last.accept().hangUp(3500, "invalid token");
  mock.timers.tick(60_000);
  assert.equal(FakeWebSocket.all.length, 1);
  assert.equal(states.at(-1), "stopped: invalid token");
});

test("the pauses between tries double up to ten seconds and never fall below 0.3", () => {
  assert.deepEqual([0, 1, 2, 10].map((tries) => backoffMs(tries, () => 0)), [300, 600, 1200, 5000]);
  assert.deepEqual([0, 1, 10].map((tries) => backoffMs(tries, () => 1)), [600, 1200, 10_000]);
});

test("tries that fail wait longer and longer", () => {
  opened();
  FakeWebSocket.last.hangUp();
  mock.timers.tick(300);
  FakeWebSocket.last.hangUp();
  mock.timers.tick(599);
  assert.equal(FakeWebSocket.all.length, 2);
  mock.timers.tick(1);
  assert.equal(FakeWebSocket.all.length, 3);
});

test("when the network is there again it tries at once", () => {
  const socket = opened();
  FakeWebSocket.last.hangUp();
  socket.networkChanged();
  assert.equal(FakeWebSocket.all.length, 2);
  mock.timers.tick(9_999);
  assert.equal(FakeWebSocket.all.length, 2, "the try that was planned is not made as well");
});

test("an expired token is renewed and used", async () => {
  const session = { token: "old", renew: async () => Boolean((session.token = "new")) };
  opened(session);
  FakeWebSocket.last.onopen({});
  FakeWebSocket.last.say({ id: 1, error: { code: 109, message: "token expired" } });
  await Promise.resolve().then(() => {}).then(() => {}).then(() => {});
  mock.timers.tick(300);
  FakeWebSocket.last.onopen({});
  assert.equal(FakeWebSocket.last.commands[0].connect.token, "new");
});

test("an expired token that nobody can renew stops it", async () => {
  opened();
  FakeWebSocket.last.onopen({});
  FakeWebSocket.last.say({ id: 1, error: { code: 109, message: "token expired" } });
  await Promise.resolve().then(() => {}).then(() => {}).then(() => {});
  assert.match(states.at(-1), /^stopped: .*expired/);
});

test("a call gets its answer, its refusal, or is told that the connection was lost", async () => {
  const socket = opened();
  const server = FakeWebSocket.last.accept();
  const good = socket.rpc("message.post", { text: "hi" });
  assert.deepEqual(server.commands.at(-1).rpc, { method: "message.post", data: { text: "hi" } });
  server.answer({ rpc: { data: { offset: 15 } } });
  assert.deepEqual(await good, { offset: 15 });

  const refused = socket.rpc("message.post", {});
  server.say({ id: server.commands.at(-1).id, error: { code: 103, message: "not yours" } });
  await assert.rejects(refused, { code: 103, message: "not yours", temporary: false });

  const lost = socket.rpc("message.post", {});
  server.hangUp();
  await assert.rejects(lost, { code: 0, temporary: true });
  await assert.rejects(socket.rpc("message.post", {}), CallError);
});

test("a call that is not answered in time may be sent again", async () => {
  const socket = opened();
  const server = FakeWebSocket.last.accept();
  const call = socket.rpc("message.post", {});
  mock.timers.tick(10_000);
  await assert.rejects(call, { temporary: true });
  assert.equal(server.closed, false);
});

test("a temporary refusal of a subscription is tried again, a final one is told", () => {
  const socket = opened();
  const seen = watched(socket);
  const server = FakeWebSocket.last.accept();
  server.say({ id: server.commands.at(-1).id, error: { code: 100, message: "later", temporary: true } });
  mock.timers.tick(300);
  assert.equal(server.commands.filter((command) => command.subscribe).length, 2);
  server.say({ id: server.commands.at(-1).id, error: { code: 103, message: "no" } });
  assert.deepEqual(seen, ["refused 103"]);
});

test("an unsubscribe push from 2500 on subscribes again from its position, below it ends", () => {
  const socket = opened();
  const seen = watched(socket);
  const server = FakeWebSocket.last.accept();
  server.answer(recovered());
  server.say(pub("a", 30), { push: { channel: "tea", unsubscribe: { code: 2500, reason: "insufficient state" } } });
  assert.equal(server.commands.at(-1).subscribe.offset, 30);
  server.answer(recovered());
  server.say({ push: { channel: "tea", unsubscribe: { code: 2000, reason: "removed" } } });
  assert.deepEqual(seen, ["subscribed", ["a", 30], "subscribed", "refused 2000"]);
});

test("who is here is told at its place among joins and leaves", () => {
  const socket = opened();
  const seen = watched(socket);
  const server = FakeWebSocket.last.accept();
  server.answer(recovered());
  socket.presence("tea", (infos) => seen.push(infos.map(({ user }) => user).join()));
  const { id } = server.commands.at(-1);
  server.say(
    { id, presence: { presence: { x: { user: "ann", client: "x" } } } },
    { push: { channel: "tea", join: { info: { user: "bob", client: "y" } } } },
    { push: { channel: "tea", leave: { info: { user: "ann", client: "x" } } } },
  );
  assert.deepEqual(seen, ["subscribed", "ann", "+bob", "-ann"]);
});
