/** Light, dark, or as the system has it. static/theme.js does it, before anything is drawn. */

import { h } from "../core/dom.js";
import { lineIcon } from "../parts/icons.js";

const KEY = "bytetracker-theme";
const ORDER = ["auto", "light", "dark"];
const ICONS = { auto: "auto", light: "sun", dark: "moon" };

export function themeSwitch() {
  const button = h("button.quiet", { type: "button", id: "theme" });
  const chosen = () => localStorage.getItem(KEY) ?? "auto";
  const show = () => {
    const now = chosen();
    const label = `Theme: ${now === "auto" ? "as the system" : now}. Change`;
    button.replaceChildren(lineIcon(ICONS[now]));
    button.setAttribute("aria-label", label);
    button.title = label;
  };
  button.addEventListener("click", () => {
    const next = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length];
    if (next === "auto") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
    dispatchEvent(new Event("themechosen"));
    show();
  });
  show();
  return button;
}
