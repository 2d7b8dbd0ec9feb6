/** One fault: what is known of it, how it developed, and the probes that it rests on. */

import { get, named } from "../core/api.js";
import { every, fill, gently, h } from "../core/dom.js";
import { count, span, words } from "../core/format.js";
import { live } from "../core/live.js";
import { href } from "../core/router.js";
import { bitmap } from "../parts/bitmap.js";
import { card, facts, into, notice, table } from "../parts/blocks.js";
import { silenceDialog, silenceList } from "../parts/silence.js";
import { element as elementLink, kindWords, lossRate, probeLink, rateWord, severity, state, suspects, verdict, when, whenFully } from "../parts/text.js";
import { evidenceChart } from "./fault_evidence.js";

const EVIDENCE_EVERY_MS = 4_000;
const SERVERS_SHOWN = 24;

export function openFault({ route, signal }) {
  const id = route.path[1];
  const head = h("div.faulthead");
  const evidence = h("div");
  const rest = h("div.columns");
  const silences = h("div");
  const element = h("div.page", head, card("Evidence over time", evidence), rest);
  let fault = null;

  const load = async () => {
    const answer = await into(head, get(named("faults", id), {}, signal), (told) => {
      fault = told.fault;
      fill(head, heading(fault, told.parts ?? [], loadSilences), silences);
      fill(rest, ...sections(told));
    });
    return answer;
  };
  const loadEvidence = () => into(evidence, get(`${named("faults", id)}/evidence`, {}, signal), (told) => {
    if (!evidence.contains(document.activeElement)) evidence.replaceChildren(evidenceChart(told, fault));
  });
  const loadSilences = async () => {
    if (!fault) return;
    try {
      const names = new Set(fault.suspects.map((s) => s.element));
      const list = await silenceList(loadSilences, (one) => names.has(one.element));
      silences.replaceChildren(...(list ? [list] : []));
    } catch (error) {
      if (error?.status === undefined && error?.name !== "AbortError") throw error;
    }
  };
  const soon = gently(async () => {
    await load();
    await loadEvidence();
  }, 1_000);
  live.on("faults", (news) => (news === null || news.fault_id === id) && soon(), signal);
  every(EVIDENCE_EVERY_MS, async () => {
    if (fault && fault.state !== "resolved") await loadEvidence();
  }, signal);
  load().then((told) => {
    if (!told) return;
    loadEvidence();
    loadSilences();
  });
  return { element, title: "Fault" };
}

function heading(fault, parts, silenced) {
  const over = fault.state === "resolved";
  const lasted = (over ? fault.resolved_at_us ?? fault.detected_at_us : live.now_us()) - fault.first_seen_us;
  const places = [...new Set(fault.suspects.flatMap((s) => [s.element, ...s.element.split("~"), s.element.split(/[/:]/)[0]]))];
  return [
    h("div.line", severity(fault), kindWords(fault.kind), state(fault), h("span.faint.mono", fault.fault_id),
      h("div.actions.right",
        fault.suspects[0] && h("a.button", { href: placeHref(fault) }, "Show on map"),
        h("a.button", { href: href(["probes"], probesQuery(fault)) }, "Probes"),
        !live.overview?.read_only && h("button", { type: "button", "data-key": "silence", onclick: () => silenceDialog(places, silenced) }, "Silence …"))),
    h("h1.story", fault.story),
    fault.silenced && notice(`Silenced: ${fault.silenced}`, "warning"),
    fault.part_of && h("p", "Turned out to be part of ", h("a.name", { href: href(["faults", fault.part_of]) }, fault.part_of)),
    parts.length > 0 && h("p", "Took over: ", parts.map((id) => [h("a.name", { href: href(["faults", id]) }, id), " "])),
    facts([
      ["first seen", whenFully(fault.first_seen_us)],
      [over ? "resolved" : "last seen", whenFully(over ? fault.resolved_at_us ?? fault.detected_at_us : fault.last_seen_us)],
      [over ? "lasted" : "lasts", span(lasted)],
      [rateWord(fault.kind), lossRate(fault)],
      ["probes hit", h("span.num", count(fault.probes_bad), h("span.faint", ` of ${count(fault.probes_total)}`))],
      ["direction", fault.direction.includes("~") ? elementLink(fault.direction) : fault.direction || "–"],
      ["legs", fault.legs.join(", ") || "–"],
      ["came back", fault.flaps ? `${count(fault.flaps)} times` : "no"],
    ]),
  ];
}

const placeHref = (fault) => {
  const main = fault.suspects[0].element;
  const link = elementLink(main);
  return link.getAttribute?.("href")?.startsWith("#/fabric") ? link.getAttribute("href")
    : fault.direction.includes("~") ? href(["fabric", "link", fault.direction]) : href(["fabric"]);
};

/** Which probes to look at: those of the link, else of the switch, else of the server. */
function probesQuery(fault) {
  const main = fault.suspects[0]?.element ?? "";
  const from_us = fault.first_seen_us;
  const to_us = fault.last_seen_us + 1_000_000;
  if (main.includes("~")) return { link: main, from_us, to_us };
  if (fault.kind === "host_silent") return { server: main, from_us, to_us };
  return { switch: main.split(/[/:]/)[0], from_us, to_us };
}

function sections({ fault, events, bits, examples }) {
  const shownBits = bits?.length ? bits : fault.bits ?? [];
  return [
    card("Suspects", suspects(fault, 12)),
    shownBits.length > 0 && card("Altered bits", bitmap(shownBits)),
    card("Example probes", table([
      { title: "probe", cell: probeLink },
      { title: "sent", cell: (p) => when(p.sent_at_us) },
      { title: "verdict", cell: (p) => verdict(p.verdict) },
      { title: "target", cell: (p) => elementLink(p.target) },
      { title: "lost or altered after", wide: true, cell: (p) => (p.last_seen ? h("span", elementLink(p.last_seen), p.next_node && [" → ", elementLink(p.next_node)]) : "–") },
    ], examples ?? [], { caption: "Example probes", empty: "No example is stored yet." })),
    card("Affected servers", servers(fault.affected_servers)),
    card("Events", table([
      { title: "at (UTC)", cell: (e) => when(e.detected_at_us, { relative: false, places: 3 }) },
      { title: "version", num: true, cell: (e) => e.version },
      { title: "state", cell: (e) => words(e.state) },
      { title: "severity", cell: severity },
      { title: rateWord(fault.kind), cell: lossRate },
      { title: "story", wide: true, cell: (e) => e.story },
    ], [...events].sort((x, y) => y.version - x.version), { caption: "Life of the fault, newest first" })),
  ];
}

function servers(names) {
  if (!names.length) return notice("None in particular: whoever's packets cross it.");
  const link = (name) => h("li", elementLink(name));
  const rest = names.slice(SERVERS_SHOWN);
  return h("div", h("ul.names", names.slice(0, SERVERS_SHOWN).map(link)),
    rest.length > 0 && h("details", h("summary", `${count(rest.length)} more${names.length >= 100 ? " (the event names at most 100)" : ""}`), h("ul.names", rest.map(link))));
}
