// A question before something that cannot be taken back: a dialog of the browser, which keeps the focus inside while it is
// open, ends with Escape, and gives the focus back.

import { byId, setText } from "./dom.js";

let answer = () => {};

/**
 * Ask; true if the reader wants it.
 *
 * @param {{title: string, text: string, action: string}} words `action` is on the button that does it
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, text, action }) {
  const dialog = byId("confirm");
  if (dialog.open) return Promise.resolve(false);
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-yes"), action);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    answer = resolve;
  });
}

/** Take the question back: what it was about is not shown any more. */
export function takeBack() {
  if (byId("confirm").open) byId("confirm").close("");
}

byId("confirm").addEventListener("close", () => answer(byId("confirm").returnValue === "yes"));
byId("confirm-yes").addEventListener("click", () => byId("confirm").close("yes"));
byId("confirm-no").addEventListener("click", () => byId("confirm").close(""));
