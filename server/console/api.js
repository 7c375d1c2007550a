// Questions and commands over HTTP. Every answer is `{code, message, data}`; what is refused becomes a `Refusal`.

import { freshId } from "./words.js";

const TRIES_MAX = 4;
const TIMEOUT_MS = 15_000;

/** The server said no, or could not be reached (`status` 0). */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Whether sending it again may help; everything sent from here may be sent twice. */
function mayPass(refusal) {
  return refusal.status === 0 || refusal.status === 503 || refusal.status === 429;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The interface of docs/http.md as far as the page needs it. `session` has `token` and `renew()`. */
export class Api {
  constructor(session, { fetch = globalThis.fetch.bind(globalThis), wait = pause } = {}) {
    this.session = session;
    this.fetch = fetch;
    this.wait = wait;
  }

  conversations(after, limit = 200) {
    return this.ask("/v1/conversations", { after, limit });
  }

  conversation(id) {
    return this.ask(`/v1/conversations/${encodeURIComponent(id)}`);
  }

  /** A page of messages: the newest one, or the one next to the position `before` or `after`. */
  messages(id, { before, after, limit = 50 } = {}) {
    return this.ask(`/v1/conversations/${encodeURIComponent(id)}/messages`, { before, after, limit });
  }

  /** The id is chosen here if nobody did: a try that is repeated must not make a second conversation. */
  create({ conversation = freshId(), title, visibility, members }) {
    return this.command("POST", "/v1/conversations", { conversation, title, visibility, members });
  }

  retitle(id, title) {
    return this.command("PATCH", `/v1/conversations/${encodeURIComponent(id)}`, { title });
  }

  join(id) {
    return this.command("POST", `/v1/conversations/${encodeURIComponent(id)}/join`, {});
  }

  leave(id) {
    return this.command("POST", `/v1/conversations/${encodeURIComponent(id)}/leave`, {});
  }

  add(id, member) {
    return this.command("POST", `/v1/conversations/${encodeURIComponent(id)}/members`, { member });
  }

  ask(path, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const search = new URLSearchParams(given).toString();
    return this.persist("GET", search ? `${path}?${search}` : path);
  }

  /** A command carries an id, so that a try whose answer was lost can be repeated and still happens once. */
  command(method, path, body) {
    return this.persist(method, path, { client_event_id: freshId(), ...body });
  }

  async persist(method, path, body) {
    let renewed = false;
    for (let tries = 1; ; tries += 1) {
      try {
        return await send(this.fetch, method, path, body, this.session.token);
      } catch (refusal) {
        if (refusal.status === 401 && !renewed && (await this.session.renew())) {
          renewed = true;
        } else if (mayPass(refusal) && tries < TRIES_MAX) {
          await this.wait(Math.max(refusal.retryAfterMs ?? 0, 250 * 2 ** tries * (0.5 + Math.random())));
        } else {
          throw refusal;
        }
      }
    }
  }
}

/** A token for a handle, where guests are welcome; elsewhere the refusal has status 404. */
export function guest(user, fetch = globalThis.fetch.bind(globalThis)) {
  return send(fetch, "POST", "/v1/guest", { user });
}

async function send(fetch, method, path, body, token) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  let answer;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    answer = await response.json().catch(() => null);
  } catch {
    throw new Refusal(0, "unreachable", "The server cannot be reached.");
  }
  if (response.ok && answer?.code === "ok") return answer.data;
  const message = answer?.message ?? `The server answered ${response.status}.`;
  const refusal = new Refusal(response.status, answer?.code ?? "unexpected", message);
  refusal.retryAfterMs = Number(response.headers.get("Retry-After") ?? 0) * 1000 || 0;
  throw refusal;
}
