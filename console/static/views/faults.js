/** Faults, open and past; `faults/ID` is the page of one. */

import { get } from "../core/api.js";
import { gently, h } from "../core/dom.js";
import { count, words } from "../core/format.js";
import { live } from "../core/live.js";
import { ask, href } from "../core/router.js";
import { choice, into, picker, table } from "../parts/blocks.js";
import { silenceList } from "../parts/silence.js";
import { element as elementLink, lossRate, severity, state, suspects, when } from "../parts/text.js";
import { openFault } from "./fault.js";

export const KINDS = [
  "network_loss", "black_hole", "alteration", "loop", "wrong_route", "host_silent", "mirror_outage", "prober_outage",
  "source_silent", "coverage_gap",
];
const PERIODS = [["", "any time"], ["3600", "last hour"], ["86400", "last day"], ["604800", "last 7 days"], ["2592000", "last 30 days"]];
const LIMIT = 200;

export function open(context) {
  return context.route.path[1] ? openFault(context) : openList(context);
}

function openList({ route, signal }) {
  const found = h("div");
  const silences = h("div");
  const total = h("span.faint", { role: "status" });
  let query = route.query;
  const load = () => into(found, get("faults", {
    state: query.state ?? "open",
    kind: query.kind, severity: query.severity, element: query.element,
    since_us: query.period ? Math.round(live.now_us() - Number(query.period) * 1e6) : undefined,
    limit: LIMIT,
  }, signal), (answer) => {
    total.textContent = answer.total > answer.faults.length ? `${count(answer.faults.length)} of ${count(answer.total)}` : `${count(answer.total)} found`;
    found.replaceChildren(faultTable(answer.faults, query));
  });
  const loadSilences = async () => {
    try {
      const list = await silenceList(loadSilences);
      silences.replaceChildren(...(list ? [h("section.card", h("h2", "Silences and planned maintenance"), list)] : []));
    } catch (error) {
      if (error?.status === undefined && error?.name !== "AbortError") throw error;
      silences.replaceChildren(); // the table says what is away
    }
  };
  const set = (key) => (value) => ask({ [key]: value });
  const named = h("input", { type: "search", placeholder: "any", size: 22, "data-key": "element", onchange: (e) => ask({ element: e.target.value.trim() }) });
  named.value = query.element ?? "";
  const element = h("div.page",
    h("div.head", h("h1", "Faults"), total),
    h("div.filters",
      choice("State", [["open", "Open"], ["resolved", "Past"], ["all", "All"]], query.state ?? "open", set("state")),
      picker("Severity", [["", "any"], ["critical", "critical"], ["warning", "warning"], ["info", "info"]], query.severity ?? "", set("severity")),
      picker("Kind", [["", "any"], ...KINDS.map((kind) => [kind, words(kind)])], query.kind ?? "", set("kind")),
      picker("When", PERIODS, query.period ?? "", set("period")),
      h("label.field", h("span", "Element"), named)),
    h("section.card", found), silences);
  live.on("faults", gently(load, 500), signal);
  load();
  loadSilences();
  return {
    element,
    title: "Faults",
    update(next) {
      query = next.query;
      named.value = query.element ?? "";
      load();
    },
  };
}

function faultTable(faults, query) {
  const nothing = Object.keys(query).length > 1 || query.element ? "No fault is like that." : "No fault is open.";
  return table([
    { title: "severity", cell: severity },
    { title: "kind", cell: (f) => h("span.kind", words(f.kind)) },
    { title: "what", wide: true, cell: (f) => h("a.strong", { href: href(["faults", f.fault_id]), "data-key": f.fault_id }, f.story) },
    { title: "suspects", cell: (f) => suspects(f, 2) },
    { title: "direction", cell: (f) => (f.direction.includes("~") ? elementLink(f.direction) : f.direction || h("span.faint", "–")) },
    { title: "rate", cell: lossRate },
    { title: "since", cell: (f) => when(f.first_seen_us) },
    { title: "state", cell: (f) => h("div", state(f), f.state === "resolved" && h("div.faint", when(f.resolved_at_us ?? f.detected_at_us))) },
  ], faults, { caption: "Faults, newest first", empty: nothing });
}
