/** What probes cross, and what they do not: ports, links, pairs of chips. */

import { get } from "../core/api.js";
import { every, h } from "../core/dom.js";
import { clock, count, moment, share, span, words } from "../core/format.js";
import { timeTicks } from "../core/scale.js";
import { card, into, notice, table } from "../parts/blocks.js";
import { chart } from "../parts/chart.js";
import { element as elementLink, whenFully } from "../parts/text.js";

const EVERY_MS = 10_000;
const SHOWN = 200;

export function open({ signal }) {
  const body = h("div.stack");
  const opened = new Set();
  const load = () => into(body, get("coverage", {}, signal), (told) => {
    for (const d of body.querySelectorAll("details")) (d.open ? opened.add(d.dataset.name) : opened.delete(d.dataset.name));
    body.replaceChildren(...sections(told, opened));
  });
  every(EVERY_MS, async () => {
    if (!body.contains(document.activeElement)) await load();
  }, signal);
  load();
  return { element: h("div.page", h("div.head", h("h1", "Coverage"), h("span.faint", "a fault is only found where probes go")), body), title: "Coverage" };
}

function sections(told, opened) {
  const { classes } = told;
  if (!classes.length) return [notice("No report on coverage has come yet; the first comes within a minute of probing.")];
  const shareOf = (one) => (one.crossable ? one.seen / one.crossable : null);
  const unseen = classes.map((one) => ({ name: one.element_class, elements: one.unseen, missing: one.crossable - one.seen })).filter((one) => one.missing > 0 || one.elements.length);
  return [
    card(null,
      told.slot_us && h("p.faint", "Crossed within ", told.window_us ? span(told.window_us) : "the window", " before ", whenFully(told.slot_us)),
      table([
        { title: "what", cell: (c) => h("strong", words(c.element_class)) },
        { title: "share crossed", wide: true, cell: (c) => meter(shareOf(c)) },
        { title: "crossed", num: true, cell: (c) => count(c.seen) },
        { title: "can be crossed", num: true, cell: (c) => count(c.crossable) },
        { title: "in the inventory", num: true, cell: (c) => count(c.total) },
      ], classes, { caption: "Coverage by class" })),
    card("Not crossed", unseen.length === 0
      ? notice("Everything that a probe can cross was crossed.", "fine")
      : unseen.map((one) => h("details", { "data-name": one.name, open: opened.has(one.name) || one.elements.length <= 20 },
        h("summary", `${count(one.missing)} ${words(one.name)}${one.missing === 1 ? "" : "s"}`),
        h("ul.names", one.elements.slice(0, SHOWN).map((name) => h("li", elementLink(name)))),
        one.elements.length > SHOWN && h("p.faint", `and ${count(one.elements.length - SHOWN)} more; ask the SQL page for all`)))),
    history(told.history),
  ].filter(Boolean);
}

function meter(value) {
  if (value === null) return h("span.faint", "nothing to cross");
  return h("span.meter", h("span.bar", { "aria-hidden": "true" }, h("span", { style: { width: `${value * 100}%` } })), h("span.num", share(value)));
}

function history(rows) {
  if (rows.length < 2) return null;
  const x = [...new Set(rows.map((row) => row.slot_us))].sort((a, b) => a - b);
  if (x.length < 2) return null;
  const names = [...new Set(rows.map((row) => row.element_class))];
  const at = new Map(rows.map((row) => [`${row.element_class} ${row.slot_us}`, row.share]));
  return card("History", chart({
    x, label: "Share crossed over time", yMax: 1, yText: share, xTicks: ([from, to], wanted) => timeTicks(from, to, wanted),
    xText: (us, fully) => (fully ? `${moment(us)} UTC` : clock(us)),
    series: names.map((name) => ({ name: words(name), values: x.map((us) => at.get(`${name} ${us}`) ?? null) })),
  }));
}
