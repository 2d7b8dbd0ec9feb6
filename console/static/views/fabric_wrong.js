/** "What is wrong now": the open faults as a newcomer reads them, and the links that lose now. */

import { fill, h } from "../core/dom.js";
import { count, many, share } from "../core/format.js";
import { live } from "../core/live.js";
import { href } from "../core/router.js";
import { levelOf } from "../fabric/state.js";
import { notice } from "../parts/blocks.js";
import { confidence, cssWord, element, kindWords, lossRate, rateWord, severity, when } from "../parts/text.js";

const SHOWN_MOST = 30;
const LINKS_MOST = 8;

export function wrongNow(container, { model, state, show }) {
  const open = live.open().sort((x, y) => levelOf(y) - levelOf(x) || y.first_seen_us - x.first_seen_us);
  const loud = open.filter((fault) => !fault.silenced);
  const silenced = open.filter((fault) => fault.silenced);
  const wasOpen = container.querySelector("details")?.open;
  fill(container,
    h("h2", { id: "wrong-now" }, "What is wrong now", h("span.badge", { class: loud.length ? "bad" : "" }, count(loud.length))),
    loud.length === 0 && allFine(model),
    h("ol.faultcards", loud.slice(0, SHOWN_MOST).map((fault) => faultCard(fault, state, show))),
    loud.length > SHOWN_MOST && h("p", h("a", { href: href(["faults"]) }, `and ${count(loud.length - SHOWN_MOST)} more`)),
    silenced.length > 0 && h("details", { open: wasOpen }, h("summary", { "data-key": "silenced" }, `${count(silenced.length)} silenced`),
      h("ol.faultcards", silenced.map((fault) => faultCard(fault, state, show)))));
}

function allFine(model) {
  if (live.state === "connecting" || !live.links) return notice("Waiting for the first news from the network.");
  if (live.state === "reconnecting") return notice("The console is away; what is wrong now is not known.", "warning");
  return notice(`Nothing is wrong: no fault is open on ${many(model.switches.length, "switch", "switches")}.`, "fine");
}

function faultCard(fault, state, show) {
  const main = fault.suspects[0];
  const place = state.places.get(fault.fault_id);
  return h(`li.faultcard.${cssWord(fault.silenced ? "silenced" : fault.severity)}`, { "data-fault": fault.fault_id },
    h("div.line", severity(fault), kindWords(fault.kind), h("span.faint.right", "since ", when(fault.first_seen_us))),
    h("p.story", h("a", { href: href(["faults", fault.fault_id]), "data-key": `story-${fault.fault_id}` }, fault.story)),
    main && h("div.line", element(main.element), confidence(main.confidence)),
    h("div.line",
      fault.loss_rate !== null && fault.loss_rate !== undefined && h("span", h("span.faint", `${rateWord(fault.kind)} `), lossRate(fault)),
      place && (place.switches.length > 0 || place.cable !== undefined) &&
        h("button.small.right", { type: "button", "data-key": `show-${fault.fault_id}`, onclick: () => show(fault), "aria-label": `Show on the map: ${fault.story}` }, "Show on map")));
}

/** Links that lose or alter something in the window that was looked at last. */
export function losingNow(container, model, state) {
  const links = [...state.bad].reverse();
  const window_s = live.links ? Math.round(live.links.window_us / 1e6) : 0;
  if (!links.length) {
    container.replaceChildren();
    return;
  }
  fill(container,
    h("h2", "Links losing or altering", h("span.faint", ` last ${count(window_s)} s`)),
    h("table.dense", h("caption.unseen", "Links that lose or alter packets now, worst first"),
      h("thead", h("tr", h("th", { scope: "col" }, "link"), h("th.num", { scope: "col" }, "lost"), h("th.num", { scope: "col" }, "altered"))),
      h("tbody", links.slice(0, LINKS_MOST).map((link) => {
        const name = model.linkName(link.cable, link.reverse);
        return h("tr", h("td.wide", element(name)),
          h("td.num", { title: `${count(link.lost)} of ${count(link.passed + link.lost)}` }, link.lost ? share(link.loss) : "–"),
          h("td.num", link.altered ? count(link.altered) : "–"));
      }))),
    links.length > LINKS_MOST && h("p.faint", `and ${count(links.length - LINKS_MOST)} more`));
}
