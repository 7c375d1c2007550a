// Signing in: with a handle where guests are welcome, else with a token.

import { byId } from "../dom.js";
import { Session } from "../session.js";

/** Calls `onSignedIn(session)`. */
export class Welcome {
  constructor(onSignedIn) {
    this.onSignedIn = onSignedIn;
    this.trouble = byId("sign-in-trouble");
    byId("sign-in-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  show(why = "") {
    byId("welcome").hidden = false;
    this.trouble.textContent = why;
    (byId("token-field").hidden ? byId("handle") : byId("token")).focus();
  }

  hide() {
    byId("welcome").hidden = true;
  }

  async submit() {
    this.trouble.textContent = "";
    const button = byId("sign-in-form").querySelector("button");
    button.disabled = true;
    try {
      const session = await this.session();
      if (session) this.onSignedIn(session);
    } catch (error) {
      if (error.status === 404) this.askForToken();
      else this.trouble.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  }

  async session() {
    if (!byId("token-field").hidden) {
      const token = byId("token").value.trim();
      if (token) return Session.withToken(token);
      this.trouble.textContent = "Paste your token first.";
      return null;
    }
    const handle = byId("handle").value.trim();
    if (handle && !/\s/.test(handle)) return Session.asGuest(handle);
    this.trouble.textContent = handle ? "A handle has no spaces." : "Choose a handle first.";
    return null;
  }

  askForToken() {
    byId("handle-field").hidden = true;
    byId("token-field").hidden = false;
    this.trouble.textContent = "This server knows its people by tokens. Paste yours.";
    byId("token").focus();
  }
}
