/** When the API says 401: ask for the token, once, and go on where one was. */

import { answers, ApiError, post } from "../core/api.js";
import { h } from "../core/dom.js";
import { live } from "../core/live.js";
import { notice } from "../parts/blocks.js";
import { openDialog } from "../parts/dialog.js";

let asking = false;

export function watchAccess() {
  answers.addEventListener("answer", ({ detail }) => {
    if (detail.status === 401 && detail.path !== "login") askForToken();
  });
}

function askForToken() {
  if (asking) return;
  asking = true;
  openDialog("Sign in", (close) => {
    const token = h("input", { type: "password", required: true, autocomplete: "current-password", name: "token" });
    const problem = h("div", { "aria-live": "assertive" });
    return h("form.login", {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await post("login", { token: token.value });
          asking = false;
          close();
          live.again();
          dispatchEvent(new Event("signedin"));
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          problem.replaceChildren(notice(error.status === 401 ? "That is not the token." : error.message, "error"));
          token.select();
        }
      },
    },
      h("p.faint", "This console is opened with the token of its configuration (console.token)."),
      h("label.field", h("span", "Token"), token), problem,
      h("div.actions", h("button.primary", { type: "submit" }, "Sign in")));
  }, { closable: false });
}
