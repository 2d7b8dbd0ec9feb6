/** Find a probe: by its ID, its server, a link or switch that it crossed, its verdict, its time. */

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { count, duration, moment, readMoment, words } from "../core/format.js";
import { live } from "../core/live.js";
import { ask, go } from "../core/router.js";
import { into, notice, picker, table } from "../parts/blocks.js";
import { element as elementLink, probeLink, verdict, when } from "../parts/text.js";

const VERDICTS = [
  "network_loss", "host_silent", "corrupted", "altered", "loop", "unexpected_path", "unexpected_reply", "late_reply",
  "duplicate_reply", "unobserved", "ok",
];
const LIMIT = 200;

export function open({ route, signal }) {
  const found = h("div");
  const problem = h("div", { "aria-live": "polite" });
  const form = searchForm(problem);
  const load = (query) => into(found, get("probes", {
    server: query.server, link: query.link, switch: query.switch, verdict: query.verdict, from_us: query.from_us, to_us: query.to_us, limit: LIMIT,
  }, signal), ({ probes }) => found.replaceChildren(probeTable(probes)));
  form.show(route.query);
  load(route.query);
  return {
    element: h("div.page",
      h("div.head", h("h1", "Probes"), h("span.faint", "all that were not plain ok, and a sample of those that were; newest first")),
      form.element, problem, h("section.card", found)),
    title: "Probes",
    update(next) {
      form.show(next.query);
      load(next.query);
    },
  };
}

function searchForm(problem) {
  const input = (name, placeholder, size) => h("input", { name, placeholder, size, autocomplete: "off", spellcheck: "false" });
  const fields = {
    id: input("id", "4294967304", 20),
    server: input("server", "server-1-2-3", 16),
    link: input("link", "leaf-1-1~spine-1", 20),
    switch: input("switch", "spine-1", 11),
    from: input("from", "10:42 or 2026-03-01 10:42", 22),
    to: input("to", "now", 19),
  };
  const which = picker("Verdict", [["", "any"], ...VERDICTS.map((name) => [name, words(name)])], "", () => {});
  const label = (name, text) => h("label.field", h("span", text), fields[name]);
  const read = (name) => {
    const text = fields[name].value.trim();
    if (!text) return "";
    const at = readMoment(text, live.now_us());
    if (at === null) throw new RangeError(`“${text}” is no time. Write 10:42, 10:42:07 or 2026-03-01 10:42, in UTC.`);
    return at;
  };
  const element = h("form.filters", {
    onsubmit: (event) => {
      event.preventDefault();
      problem.replaceChildren();
      const id = fields.id.value.trim();
      if (id) {
        if (/^\d{1,20}$/.test(id)) go(["probe", id]);
        else problem.replaceChildren(notice("A probe ID is a decimal number.", "error"));
        return;
      }
      try {
        ask({
          server: fields.server.value.trim(), link: fields.link.value.trim().replace(/\s*(→|->)\s*/, "~"),
          switch: fields.switch.value.trim(), verdict: which.querySelector("select").value, from_us: read("from"), to_us: read("to"),
        }, { replace: false });
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        problem.replaceChildren(notice(error.message, "error"));
      }
    },
  }, label("id", "Probe ID"), label("server", "Server"), label("link", "Link"), label("switch", "Switch"), which,
  label("from", "From (UTC)"), label("to", "To (UTC)"),
  h("button.primary", { type: "submit" }, "Find"), h("button", { type: "button", onclick: () => go(["probes"]) }, "Clear"));
  return {
    element,
    show(query) {
      for (const name of ["server", "link", "switch"]) fields[name].value = query[name] ?? "";
      fields.from.value = query.from_us ? moment(Number(query.from_us)) : "";
      fields.to.value = query.to_us ? moment(Number(query.to_us)) : "";
      which.querySelector("select").value = query.verdict ?? "";
    },
  };
}

export function probeTable(probes) {
  return h("div", probes.length >= LIMIT && h("p.faint", `The newest ${count(LIMIT)}; narrow the search for others.`), table([
    { title: "sent (UTC)", cell: (p) => when(p.sent_at_us, { relative: false, places: 3 }) },
    { title: "probe", cell: probeLink },
    { title: "verdict", cell: (p) => verdict(p.verdict) },
    { title: "kind", cell: (p) => words(p.kind) },
    { title: "from", cell: (p) => h("span", elementLink(p.prober), p.via && [" via ", elementLink(p.via)]) },
    { title: "to", cell: (p) => elementLink(p.target) },
    { title: "round trip", num: true, cell: (p) => (p.rtt_us === null ? "–" : duration(p.rtt_us)) },
    { title: "went wrong after", wide: true, cell: (p) => (p.last_seen ? h("span", elementLink(p.last_seen), p.next_node && [" → ", elementLink(p.next_node)]) : "–") },
    { title: "leg", cell: (p) => p.fault_leg || "–" },
  ], probes, { caption: "Probes, newest first", empty: "No probe is like that. Plain ok probes are only sampled; look at a longer time, or at the verdicts that are not ok." }));
}
