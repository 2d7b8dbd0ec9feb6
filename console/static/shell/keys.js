/** Keys that work everywhere, unless one is writing. */

import { go } from "../core/router.js";
import { PAGES } from "./frame.js";
import { showHelp } from "./help.js";

const SECOND_KEY_MS = 1_200;

export function listenKeys() {
  let first_ms = -Infinity;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || writing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "/") {
      event.preventDefault();
      document.querySelector("#search").focus();
    } else if (event.key === "?") {
      event.preventDefault();
      showHelp();
    } else if (event.key === "g") {
      first_ms = performance.now();
    } else if (performance.now() - first_ms < SECOND_KEY_MS) {
      first_ms = -Infinity;
      const page = PAGES.find(([, , letter]) => letter === event.key);
      if (page) go([page[0]]);
    }
  });
}

const writing = (target) => ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) && target.type !== "range";
