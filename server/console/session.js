// Who sits in front of this tab. Kept in the tab's own storage: a reload stays signed in, and two tabs can be two people.

import { guest } from "./api.js";
import { userOf } from "./words.js";

const KEY = "tidings.session";

/** A handle and the token that proves it. */
export class Session {
  constructor({ user, token, asGuest }, storage = globalThis.sessionStorage) {
    this.user = user;
    this.token = token;
    this.asGuest = asGuest;
    this.storage = storage;
    this.keep();
  }

  /** Signs in with a handle alone. Throws the server's refusal; status 404: guests are not welcome here. */
  static async asGuest(handle) {
    const { user, token } = await guest(handle);
    return new Session({ user, token, asGuest: true });
  }

  /** Signs in with a token from elsewhere. */
  static withToken(token) {
    return new Session({ user: userOf(token) ?? "you", token, asGuest: false });
  }

  /** The session that this tab had before a reload, or `null`. */
  static restored(storage = globalThis.sessionStorage) {
    try {
      const kept = JSON.parse(storage.getItem(KEY));
      return kept?.token && kept?.user ? new Session(kept, storage) : null;
    } catch {
      return null;
    }
  }

  /** A fresh token for the same handle; `false` where only a person can get one. */
  async renew() {
    if (!this.asGuest) return false;
    const { token } = await guest(this.user);
    this.token = token;
    this.keep();
    return true;
  }

  keep() {
    const { user, token, asGuest } = this;
    this.storage.setItem(KEY, JSON.stringify({ user, token, asGuest }));
  }

  end() {
    this.storage.removeItem(KEY);
  }
}
