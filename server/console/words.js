// What people type: ids, limits and the meaning of `/me`. Pure; the server has the last word on all of it.

/** Longest text of a message, in bytes of UTF-8. */
export const TEXT_BYTES_MAX = 16_384;
/** From here on the writer is shown how much room is left, in bytes. */
export const TEXT_BYTES_NEAR = 14_000;

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const utf8 = new TextEncoder();

/** How many bytes of UTF-8 a text has. */
export function byteLength(text) {
  return utf8.encode(text).length;
}

/** Why a text cannot be posted, in words for its writer; `null`: it can. */
export function whyNot(text) {
  if (/^\p{White_Space}*$/u.test(text)) return "Write something first.";
  const over = byteLength(text) - TEXT_BYTES_MAX;
  if (over > 0) return `The message is ${over.toLocaleString()} bytes too long.`;
  // Line breaks and tabs are the only control characters a text may hold.
  const control = /(?![\n\t])\p{Cc}/u.exec(text);
  if (control) {
    const code = control[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    return `The message holds a control character (U+${code}), which cannot be sent.`;
  }
  return null;
}

/** `/me waves` is the action "waves"; all else is said as it stands. */
export function meant(typed) {
  const action = /^\/me\s+(?=\S)/u.exec(typed);
  return action ? { style: "action", text: typed.slice(action[0].length) } : { style: "plain", text: typed };
}

/** A fresh id: 20 letters and digits. (`crypto.randomUUID` is missing on plain http.) */
export function freshId() {
  let id = "";
  while (id.length < 20) {
    for (const byte of crypto.getRandomValues(new Uint8Array(32))) {
      // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
      if (byte < 248 && id.length < 20) id += LETTERS[byte % 62];
    }
  }
  return id;
}

/** Whose token it is, read from a JWT without checking it; `null` where it does not say. */
export function userOf(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)).sub ?? null;
  } catch {
    return null;
  }
}
