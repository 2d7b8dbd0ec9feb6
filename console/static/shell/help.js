/** The keys, and in a few words what the pages show. */

import { h } from "../core/dom.js";
import { openDialog } from "../parts/dialog.js";
import { PAGES } from "./frame.js";

const WHAT = {
  fabric: "the network now, and what is wrong with it",
  faults: "open and past faults, and all about one",
  probes: "look up a probe and follow it hop by hop",
  matrix: "loss and round-trip time from pod to pod, or ToR to ToR",
  coverage: "what no probe crosses",
  health: "whether the pipeline itself is well",
  sql: "ask the store anything",
};

export function showHelp() {
  if (document.querySelector("dialog[open]")) return;
  const key = (name) => h("kbd", name);
  openDialog("Help", () => [
    h("dl.keys", PAGES.map(([name, title, letter]) => h("div", h("dt", key("g"), " ", key(letter)), h("dd", h("strong", title), `: ${WHAT[name]}`)))),
    h("dl.keys",
      h("div", h("dt", key("/")), h("dd", "search switches, links, servers, probes")),
      h("div", h("dt", key("?")), h("dd", "this help")),
      h("div", h("dt", key("Esc")), h("dd", "close what is open")),
      h("div", h("dt", key("← ↑ → ↓")), h("dd", "move the map, a cell of the matrix, a place in a chart")),
      h("div", h("dt", key("+"), " ", key("−"), " ", key("0")), h("dd", "on the map: nearer, farther, all")),
      h("div", h("dt", key("n"), " ", key("p")), h("dd", "on the map: next and previous thing that is wrong")),
      h("div", h("dt", key("Ctrl"), " ", key("Enter")), h("dd", "run the query"))),
    h("p.faint", "Times are UTC: when a probe was sent, not when it was stored. Every name is a link to where it can be looked at."),
  ], { kind: "help" });
}
