// Dialogs: a new conversation, deleting a message, help. They close with Escape, their own buttons, or a click beside.

import { byId } from "../dom.js";

/** What all dialogs share. */
export function closable() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
  }
}

/** `create({conversation, title, visibility, members})`: a promise. */
export function newConversation(create) {
  const dialog = byId("new-dialog");
  const form = byId("new-form");
  const trouble = byId("new-trouble");
  byId("new-conversation").addEventListener("click", () => {
    form.reset();
    trouble.textContent = "";
    dialog.showModal();
    byId("new-title").focus();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    const members = byId("new-members").value.split(/[\s,]+/).filter(Boolean);
    try {
      await create({
        conversation: byId("new-id").value.trim() || undefined,
        title: byId("new-title").value.trim() || undefined,
        visibility: new FormData(form).get("visibility"),
        members: members.length > 0 ? members : undefined,
      });
      dialog.close();
    } catch (error) {
      trouble.textContent = error.message;
    }
  });
}

/** Returns what asks before a message is deleted; it runs `onYes` if that is what was meant. */
export function confirmDelete() {
  const dialog = byId("delete-dialog");
  let meant = null;
  byId("delete-confirm").addEventListener("click", () => {
    dialog.close();
    meant?.();
  });
  return (onYes) => {
    meant = onYes;
    dialog.showModal();
  };
}

export function help() {
  const dialog = byId("help");
  byId("show-help").addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, dialog");
    if (event.key !== "?" || typing || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    dialog.showModal();
  });
}
