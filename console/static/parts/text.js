/** The small things that stand in texts and tables: names, times, rates, words of status. */

import { h } from "../core/dom.js";
import { ago, clock, count, moment, share, words } from "../core/format.js";
import { live } from "../core/live.js";
import { href } from "../core/router.js";
import { world } from "../core/world.js";
import { kindOf, switchOf } from "../fabric/model.js";
import { statusIcon } from "./icons.js";

/** Where an element can be looked at. */
export function elementHref(name) {
  const model = world.model;
  switch (kindOf(model, name)) {
    case "link":
      return href(["fabric", "link", name]);
    case "switch":
      return href(["fabric", "switch", name]);
    case "pod":
      return href(["fabric", "pod", name]);
    case "prober":
      return href(["health"], { source: name });
    case "part":
      return href(["fabric", "switch", model.switches[switchOf(model, name)].name], { part: name });
    default:
      return href(["probes"], { server: name });
  }
}

/** The name of an element, as a link to where it can be looked at. An empty name is a dash. */
export function element(name) {
  if (!name) return h("span.faint", "–");
  return h("a.name", { href: elementHref(name), title: name }, name.replace("~", " → "));
}

/** A time: in UTC, and how long ago, which goes on by itself. */
export function when(us, { relative = true, places = 0 } = {}) {
  if (us === null || us === undefined) return h("span.faint", "–");
  const shown = moment(us, places);
  const machine = { datetime: new Date(us / 1e3).toISOString(), title: `${moment(us, 6)} UTC` };
  if (!relative) return h("time.num", machine, shown);
  return h("time.num", { ...machine, "data-us": us }, ago(us, live.now_us()));
}

/** Both: "2026-03-01 10:42:07 · 12 s ago". */
export function whenFully(us, places = 0) {
  if (us === null || us === undefined) return h("span.faint", "–");
  return h("span.when", when(us, { relative: false, places }), h("span.faint", " UTC · "), when(us));
}

export const clockTime = (us, places = 0) => h("time.num", { title: `${moment(us, 6)} UTC` }, clock(us, places));

/** Once a second: what is relative moves on. */
export function tick() {
  const now = live.now_us();
  for (const time of document.querySelectorAll("time[data-us]")) {
    const text = ago(Number(time.dataset.us), now);
    if (time.textContent !== text) time.textContent = text;
  }
}

/** critical, warning, info; what is silenced says so. */
export function severity(fault) {
  const name = fault.silenced ? "silenced" : fault.severity;
  return h(`span.status.${cssWord(name)}`, statusIcon(name), h("span", fault.silenced ? `silenced (${fault.severity})` : name));
}

export function state(fault) {
  const resolved = fault.state === "resolved";
  return h(`span.state.${resolved ? "resolved" : "open"}`, resolved ? (fault.part_of ? "merged" : "resolved") : "open");
}

/** Only letters get into a class. */
export const cssWord = (text) => String(text).replace(/[^a-z]/g, "");

const RATES = { alteration: "altered", host_silent: "unanswered", mirror_outage: "copies missing", coverage_gap: "not crossed" };

/** What the rate of a fault is the rate of. */
export const rateWord = (kind) => RATES[kind] ?? "lost";

/** "30 % (27 to 33 %)". */
export function lossRate(fault) {
  if (fault.loss_rate === null || fault.loss_rate === undefined) return h("span.faint", "–");
  const interval = fault.loss_rate_low !== null && fault.loss_rate_low !== undefined;
  return h("span.num", share(fault.loss_rate),
    interval && h("span.faint", { title: "95 % interval" }, ` (${share(fault.loss_rate_low)} to ${share(fault.loss_rate_high)})`));
}

/** A bar and its number: how sure it is that this is the one. */
export function confidence(value) {
  return h("span.confidence", { title: `confidence ${share(value)}` },
    h("span.bar", { "aria-hidden": "true" }, h("span", { style: { width: `${Math.max(2, value * 100)}%` } })),
    h("span.num", share(value)));
}

/** The suspects of a fault with their bars; at most `most`. */
export function suspects(fault, most = 4) {
  const shown = fault.suspects.slice(0, most);
  const more = fault.suspects.length - shown.length;
  return h("ul.suspects",
    shown.map((s) => h("li", element(s.element), confidence(s.confidence))),
    more > 0 && h("li.faint", `and ${count(more)} more`));
}

export const kindWords = (kind) => h("span.kind", words(kind));

/** What a verdict means for the reader: fine, bad, odd. */
const VERDICTS = {
  ok: "fine", network_loss: "critical", corrupted: "critical", altered: "critical", loop: "critical",
  unexpected_path: "critical", host_silent: "info", late_reply: "info", duplicate_reply: "info",
  unexpected_reply: "warning", unobserved: "warning",
};

export function verdict(name) {
  const status = VERDICTS[name] ?? "warning";
  return h(`span.status.${status}`, statusIcon(status), h("span", words(name)));
}

export function probeLink(probe) {
  return h("a.name", { href: href(["probe", probe.probe_id], { sent_at_us: probe.sent_at_us }) }, probe.probe_id);
}
