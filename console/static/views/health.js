/** Is ByteTracker itself well: mirrors, sources, late rows, dead letters, and what each part last did. */

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { count, duration, share, short, words } from "../core/format.js";
import { card, facts, into, notice, table } from "../parts/blocks.js";
import { statusIcon } from "../parts/icons.js";
import { element as elementLink, when } from "../parts/text.js";

const EVERY_MS = 3_000;
const EXPORTERS_SHOWN = 100;
const BEHIND_US = 10e6; // as long as a source may say nothing

export function open({ route, signal }) {
  const body = h("div.stack");
  let asked = route.query.source;
  const load = () => into(body, get("health", {}, signal), (told) => {
    if (!body.contains(document.activeElement) || !body.querySelector("table")) body.replaceChildren(...sections(told, asked));
  });
  const again = setInterval(() => !document.hidden && load(), EVERY_MS);
  signal.addEventListener("abort", () => clearInterval(again));
  load();
  return {
    element: h("div.page", h("div.head", h("h1", "Health"), h("span.faint", "of ByteTracker itself")), body),
    title: "Health",
    update(next) {
      asked = next.query.source;
      load();
    },
  };
}

function sections(told, asked) {
  const sources = told.sources ?? [];
  const exporters = [...(told.exporters ?? [])].sort((x, y) => (y.missing_rate ?? 0) - (x.missing_rate ?? 0));
  return [
    h("div.two",
      card("Parts of the pipeline", parts(told)),
      card("Rows that came late, or could not be read", late(told))),
    card("Sources", table([
      { title: "source", cell: (s) => h("span", { class: s.source === asked || s.name === asked ? "marked" : "" }, h("span.mono", s.source ?? s.name)) },
      { title: "kind", cell: (s) => words(s.kind ?? "") || "–" },
      { title: "state", cell: (s) => sourceState(s) },
      { title: "behind by", num: true, cell: (s) => duration(s.lag_us) },
      { title: "rate", num: true, cell: (s) => (rateOf(s) === undefined ? "–" : `${short(rateOf(s))}/s`) },
      { title: "last heard", wide: true, cell: (s) => when(s.last_us ?? s.newest_us ?? s.seen_us) },
    ], sources, { caption: "Sources", empty: "No source has said anything yet." })),
    card(`Mirrors by exporter${exporters.length > EXPORTERS_SHOWN ? `, the worst ${EXPORTERS_SHOWN} of ${count(exporters.length)}` : ""}`, table([
      { title: "switch", cell: (e) => elementLink(e.switch) },
      { title: "copies received", num: true, cell: (e) => count(e.received) },
      { title: "missing", num: true, cell: (e) => count(e.missing), hint: "copies that other copies of the same probe prove to have existed" },
      { title: "share missing", wide: true, cell: (e) => lossMeter(e.missing_rate) },
      { title: "lost in transit", num: true, cell: (e) => count(e.lost_in_transit), hint: "gaps of the GRE sequence" },
      { title: "newest", cell: (e) => when(e.newest_us ?? e.newest_slot_us) },
    ], exporters.slice(0, EXPORTERS_SHOWN), { caption: "Mirror loss by exporter", empty: "No mirror copy has come yet." })),
  ];
}

const rateOf = (source) => source.rows_per_s ?? source.rate_per_s ?? source.rate;

function sourceState(source) {
  const silent = source.silent ?? source.lag_us > BEHIND_US;
  return h(`span.status.${silent ? "warning" : "fine"}`, statusIcon(silent ? "warning" : "fine"), silent ? "silent" : "heard");
}

function lossMeter(value) {
  if (value === null || value === undefined) return h("span.faint", "–");
  return h("span.meter", { class: value > 0.01 ? "bad" : "" }, h("span.bar", { "aria-hidden": "true" }, h("span", { style: { width: `${Math.min(100, value * 100)}%` } })), h("span.num", share(value)));
}

function parts(told) {
  const rows = Array.isArray(told.pipeline) ? told.pipeline : Object.entries(told.pipeline ?? {}).map(([part, last]) => ({ part, ...(typeof last === "object" ? last : { last_us: last }) }));
  return table([
    { title: "part", cell: (p) => h("strong", words(p.part ?? p.name)) },
    { title: "what it last did", wide: true, cell: (p) => p.what ?? p.detail ?? "–" },
    { title: "when", cell: (p) => when(p.last_us ?? p.at_us) },
  ], rows, { caption: "Parts of the pipeline", empty: "Nothing is known of the pipeline yet." });
}

function late(told) {
  const counts = told.late ?? {};
  const letters = told.dead_letters ?? [];
  const list = Array.isArray(letters) ? letters : letters.recent ?? [];
  return [
    facts(Object.entries(counts).filter(([, value]) => typeof value === "number").map(([name, value]) => [words(name), h("span.num", count(value))]), "inline"),
    list.length === 0 ? notice("No dead letter: every message could be read.", "fine") : table([
      { title: "topic", cell: (d) => h("span.mono", d.topic) },
      { title: "reason", cell: (d) => d.reason },
      { title: "messages", num: true, cell: (d) => count(d.messages ?? d.count ?? 1) },
      { title: "example", wide: true, cell: (d) => h("span.mono", d.example ?? d.detail ?? "") },
      { title: "newest", cell: (d) => when(d.newest_us ?? d.at_us) },
    ], list, { caption: "Dead letters" }),
  ];
}
