/** A modal dialog: the browser's own, so that focus stays in it, Escape closes it, and it gives the focus back. */

import { h } from "../core/dom.js";
import { lineIcon } from "./icons.js";

let numbered = 0;

/** Open one; gives {element, close}. `content` is called with `close`. */
export function openDialog(title, content, { kind = "", closable = true } = {}) {
  const id = `dialog-${++numbered}`;
  const close = () => element.close();
  const element = h("dialog", { class: kind, "aria-labelledby": id },
    h("header", h("h2", { id }, title),
      closable && h("button.quiet", { type: "button", "aria-label": "Close", onclick: close }, lineIcon("close"))));
  element.append(h("div.body", content(close)));
  element.addEventListener("close", () => element.remove());
  if (!closable) element.addEventListener("cancel", (event) => event.preventDefault());
  element.addEventListener("click", (event) => {
    if (closable && event.target === element) close(); // the backdrop
  });
  document.body.append(element);
  element.showModal();
  return { element, close };
}
