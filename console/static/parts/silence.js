/** Silence an element, or end its silence: the dialog, and what the API says to it. */

import { get, named, post, remove } from "../core/api.js";
import { h } from "../core/dom.js";
import { live } from "../core/live.js";
import { failure } from "./blocks.js";
import { openDialog } from "./dialog.js";
import { element as elementLink, when } from "./text.js";

const DURATIONS = [[1800, "30 minutes"], [7200, "2 hours"], [28800, "8 hours"], [86400, "1 day"], [604800, "7 days"]];

/** `elements`: what may be silenced, the likeliest first. `done` is called when it is. */
export function silenceDialog(elements, done) {
  openDialog("Silence", (close) => {
    const which = h("select", { name: "element", required: true }, elements.map((name) => h("option", { value: name }, name)));
    const long = h("select", { name: "for_s" }, DURATIONS.map(([value, text]) => h("option", { value, selected: value === 7200 }, text)));
    const why = h("input", { name: "why", required: true, maxlength: 200, autocomplete: "off", placeholder: "e.g. optics of this link are being replaced" });
    const by = h("input", { name: "by", required: true, maxlength: 80, autocomplete: "username" });
    by.value = live.overview?.user || remembered();
    const problem = h("div", { "aria-live": "assertive" });
    const send = h("button.primary", { type: "submit" }, "Silence");
    return h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        send.disabled = true;
        try {
          remember(by.value);
          await post("silences", { element: which.value, for_s: Number(long.value), why: why.value, by: by.value });
          close();
          done();
        } catch (error) {
          problem.replaceChildren(failure(error));
        } finally {
          send.disabled = false;
        }
      },
    },
      h("p.faint", "Nobody is alerted while a silence holds. Faults below it are still found, stored and shown."),
      h("label.field", h("span", "What"), which), h("label.field", h("span", "For"), long),
      h("label.field", h("span", "Why"), why), h("label.field", h("span", "Who asks"), by), problem,
      h("div.actions", h("button", { type: "button", onclick: close }, "Cancel"), send));
  });
}

/** Silences that hold or are to come, each with a button that ends it. */
export async function silenceList(changed, only = null) {
  const answer = await get("silences");
  const all = answer.filter((one) => !only || only(one));
  if (!all.length) return null;
  return h("ul.silences", all.map((one) => h("li",
    elementLink(one.element), h("span", ` until `), when(one.until_us, { relative: false }), h("span.faint", " UTC"),
    h("span", `: ${one.why}`), one.by && h("span.faint", ` (${one.by})`),
    one.what === "maintenance"
      ? h("span.tag", "planned maintenance")
      : !live.overview?.read_only && h("button", {
        type: "button", "data-key": `end-${one.element}`,
        onclick: async (event) => {
          event.target.disabled = true;
          try {
            await remove(named("silences", one.element));
            changed();
          } catch (error) {
            event.target.replaceWith(failure(error));
          }
        },
      }, "End silence"))));
}

const KEY = "bytetracker-who";
const remembered = () => localStorage.getItem(KEY) ?? "";
const remember = (name) => localStorage.setItem(KEY, name);
