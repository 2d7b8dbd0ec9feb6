/** Is ByteTracker itself well: mirrors, sources, late rows, dead letters, and what each part last did. */

import { get } from "../core/api.js";
import { every, h } from "../core/dom.js";
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
  every(EVERY_MS, load, signal);
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
  const { sources, exporters } = told;
  return [
    h("div.two",
      card("Parts of the pipeline", parts(told)),
      card("Rows that came late, or could not be read", late(told))),
    card("Sources", table([
      { title: "source", cell: (s) => h("span", { class: s.source === asked ? "marked" : "" }, h("span.mono", s.source)) },
      { title: "kind", cell: (s) => words(s.kind) },
      { title: "state", cell: (s) => sourceState(s) },
      { title: "behind by", num: true, cell: (s) => duration(s.lag_us) },
      { title: "rate", num: true, cell: (s) => `${short(s.rows_per_s)}/s` },
      { title: "last heard", wide: true, cell: (s) => when(s.last_us) },
    ], sources, { caption: "Sources", empty: "No source has said anything yet." })),
    card(`Mirrors by exporter${exporters.length > EXPORTERS_SHOWN ? `, the worst ${EXPORTERS_SHOWN} of ${count(exporters.length)}` : ""}`, table([
      { title: "switch", cell: (e) => elementLink(e.switch) },
      { title: "copies received", num: true, cell: (e) => count(e.received) },
      { title: "missing", num: true, cell: (e) => count(e.missing), hint: "copies that other copies of the same probe prove to have existed" },
      { title: "share missing", wide: true, cell: (e) => lossMeter(e.missing_rate) },
      { title: "lost in transit", num: true, cell: (e) => count(e.lost_in_transit), hint: "gaps of the GRE sequence" },
      { title: "newest", cell: (e) => when(e.newest_us) },
    ], exporters.slice(0, EXPORTERS_SHOWN), { caption: "Mirror loss by exporter", empty: "No mirror copy has come yet." })),
  ];
}

function sourceState(source) {
  const silent = source.lag_us === null || source.lag_us > BEHIND_US;
  const icon = silent ? "warning" : "fine";
  return h(`span.status.${icon}`, statusIcon(icon), silent ? "silent" : "heard");
}

function lossMeter(value) {
  if (value === null || value === undefined) return h("span.faint", "–");
  return h("span.meter", { class: value > 0.01 ? "bad" : "" }, h("span.bar", { "aria-hidden": "true" }, h("span", { style: { width: `${Math.min(100, value * 100)}%` } })), h("span.num", share(value)));
}

function parts(told) {
  return table([
    { title: "part", cell: (p) => h("strong", words(p.part)) },
    { title: "what it last did", wide: true, cell: (p) => p.what || "–" },
    { title: "when", cell: (p) => when(p.last_us) },
  ], told.pipeline, { caption: "Parts of the pipeline", empty: "Nothing is known of the pipeline yet." });
}

function late(told) {
  const list = told.dead_letters;
  return [
    facts(Object.entries(told.late).map(([name, value]) => [words(name), h("span.num", count(value))]), "inline"),
    list.length === 0 ? notice("No dead letter: every message could be read.", "fine") : table([
      { title: "topic", cell: (d) => h("span.mono", d.topic) },
      { title: "reason", wrap: true, cell: (d) => d.reason },
      { title: "messages", num: true, cell: (d) => count(d.messages) },
      { title: "example", wide: true, cell: (d) => h("span.mono", d.example) },
      { title: "newest", cell: (d) => when(d.newest_us) },
    ], list, { caption: "Dead letters" }),
  ];
}
