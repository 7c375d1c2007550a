import assert from "node:assert/strict";
import { test } from "node:test";

import { Api } from "../api.js";

function served(...answers) {
  const requests = [];
  const fetch = async (path, { method, headers, body }) => {
    requests.push({ path, method, headers, body: body && JSON.parse(body) });
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    const [status, code, data] = answer;
    return new Response(JSON.stringify({ code, message: code, data }), { status });
  };
  const session = { token: "t1", renew: async () => Boolean((session.token = "t2")) };
  return { api: new Api(session, { fetch, wait: async () => {} }), requests };
}

test("a question carries the token and only what was given", async () => {
  const { api, requests } = served([200, "ok", { messages: [] }]);
  await api.messages("a:b", { before: 7 });
  assert.equal(requests[0].path, "/v1/conversations/a%3Ab/messages?before=7&limit=50");
  assert.equal(requests[0].headers.Authorization, "Bearer t1");
});

test("a command whose outcome is unknown is sent again with the same id", async () => {
  const { api, requests } = served([503, "outcome_unknown", null], new TypeError("network"), [200, "ok", { offset: 3 }]);
  assert.deepEqual(await api.join("tea"), { offset: 3 });
  assert.equal(new Set(requests.map(({ body }) => body.client_event_id)).size, 1);
  assert.equal(requests.length, 3);
});

test("a conversation that nobody named has the same name in every try", async () => {
  const { api, requests } = served([503, "outcome_unknown", null], [200, "ok", { offset: 1 }]);
  await api.create({ title: "Tea" });
  const names = requests.map(({ body }) => body.conversation);
  assert.match(names[0], /^[A-Za-z0-9]{20}$/);
  assert.deepEqual(names, [names[0], names[0]]);
});

test("it gives up after four tries", async () => {
  const { api, requests } = served(...Array(5).fill([503, "unavailable", null]));
  await assert.rejects(api.conversations(), { status: 503, code: "unavailable" });
  assert.equal(requests.length, 4);
});

test("a refusal is final", async () => {
  const { api, requests } = served([403, "removed", null]);
  await assert.rejects(api.join("tea"), { code: "removed" });
  assert.equal(requests.length, 1);
});

test("an expired token is renewed once", async () => {
  const { api, requests } = served([401, "token_expired", null], [401, "unauthorized", null]);
  await assert.rejects(api.conversations(), { status: 401 });
  assert.deepEqual(requests.map(({ headers }) => headers.Authorization), ["Bearer t1", "Bearer t2"]);
});
