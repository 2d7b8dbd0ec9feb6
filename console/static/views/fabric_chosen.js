/** What is chosen on the map, beside it: a switch with its chips and ports, a link in both directions, a pod. */

import { fill, h } from "../core/dom.js";
import { count, many, share } from "../core/format.js";
import { live } from "../core/live.js";
import { go, href } from "../core/router.js";
import { lossClass } from "../core/scale.js";
import { byChip } from "../fabric/faceplate.js";
import { crossedBits, isCrossed } from "../fabric/state.js";
import { facts, loading, notice } from "../parts/blocks.js";
import { lineIcon, statusIcon } from "../parts/icons.js";
import { silenceDialog } from "../parts/silence.js";
import { element, severity, when } from "../parts/text.js";

export function chosenPanel(container, { page, chosen, route }) {
  const [, kind, name] = route.path;
  container.hidden = !name;
  if (!name) {
    container.replaceChildren();
    return;
  }
  const body = !chosen ? [notice(`No ${kind} of this fabric is called ${name}.`, "warning")]
    : kind === "link" ? linkBody(page, chosen, name)
    : chosen.pod !== undefined ? podBody(page, chosen)
    : switchBody(page, chosen, route.query.part);
  fill(container,
    h("header", h("h2", h("span.faint", `${kind} `), name.replace("~", " → ")),
      h("button.quiet", { type: "button", "aria-label": "Close", "data-key": "close-chosen", onclick: () => go(["fabric"], { as: route.query.as }) }, lineIcon("close"))),
    body);
}

function actions(page, place, name, more = []) {
  return h("div.actions",
    h("button", { type: "button", "data-key": "zoom-chosen", onclick: () => page.map.goTo(place, place.switches.length === 1 && place.pod === undefined) }, "Zoom in"),
    more,
    h("a.button", { href: href(["faults"], { element: name }) }, "Faults here"),
    !live.overview?.read_only && h("button", { type: "button", "data-key": "silence-chosen", onclick: () => silenceDialog([name], () => page.refresh()) }, "Silence …"));
}

function faultsHere(page, belongs) {
  const here = live.open().filter((fault) => fault.suspects.some((s) => belongs(s.element)));
  return here.length > 0 && h("ul.faultlines", here.map((fault) => h("li", severity(fault), " ",
    h("a", { href: href(["faults", fault.fault_id]) }, fault.story), h("span.faint", " since ", when(fault.first_seen_us)))));
}

function switchBody(page, chosen, part) {
  const { model, state } = page;
  const i = chosen.switches[0];
  const one = model.switches[i];
  const detail = page.detail(i);
  const here = faultsHere(page, (name) => name === one.name || name.startsWith(`${one.name}/`) || name.startsWith(`${one.name}:`) || name.split("~").includes(one.name));
  return [
    h("div.line", !here && (state.suspect[i] ? h("span.status.warning", statusIcon("warning"), "suspected") : h("span.status.fine", statusIcon("fine"), "no fault here")),
      one.drained && h("span.tag", "drained")),
    here,
    facts([
      ["tier", model.tiers[one.tier]],
      one.pod >= 0 && ["pod", element(model.pods[one.pod])],
      ["chips", count(one.chips)],
      ["servers", model.servers[i] ? h("a", { href: href(["probes"], { switch: one.name }) }, count(model.servers[i])) : "none"],
      detail && ["exporter", h("span.mono", detail.exporter_addresses.join(", ") || "none")],
    ], "inline"),
    actions(page, chosen, one.name, [h("a.button", { href: href(["probes"], { switch: one.name }) }, "Probes")]),
    maintenance(detail),
    detail ? chips(page, i, detail, part) : loading("Fetching ports"),
  ];
}

function maintenance(detail) {
  const planned = detail?.maintenance ?? [];
  return planned.length > 0 && h("ul.silences", planned.map((one) => h("li", h("span.tag", "maintenance"), ` ${one.why} until `, when(one.until_us, { relative: false }), " UTC")));
}

/** Chips, and in each its ports: a box a port, coloured by the worse direction of the link behind it. */
function chips(page, index, detail, part) {
  const links = linksByPeer(page, index);
  return h("div.chips", byChip(detail).map(({ chip, ports }) => h("section.chip", { class: part?.includes(`/${chip}`) ? "marked" : "" },
    h("h3", detail.chips.length > 1 ? `chip ${chip}` : "ports", h("span.faint", ports.length ? ` ${many(ports.length, "port")}` : " joins the others")),
    ports.length > 0 && h("ul.ports", ports.map((port) => portBox(page, index, port, links.get(port.peer), part))))));
}

function linksByPeer({ model, state }, index) {
  const found = new Map();
  for (const cable of model.cablesOf(index)) {
    const out = 2 * cable + (model.a[cable] === index ? 0 : 1);
    found.set(model.switches[model.otherEnd(cable, index)].name, { out: state.byLink.get(out), in: state.byLink.get(out ^ 1), id: out });
  }
  return found;
}

function portBox({ model }, index, port, link, part) {
  const one = model.switches[index];
  const bad = [link?.out, link?.in].filter(Boolean).sort((x, y) => y.loss - x.loss)[0];
  const kind = bad ? (bad.lost ? `loss-${lossClass(bad.loss)}` : "altered") : "";
  const told = [link?.out && `out ${rates(link.out)}`, link?.in && `in ${rates(link.in)}`].filter(Boolean).join(", ");
  const target = port.peer_kind === "switch" ? href(["fabric", "link", `${one.name}~${port.peer}`])
    : port.peer_kind === "prober" ? href(["health"], { source: port.peer }) : href(["probes"], { server: port.peer });
  const marked = part?.includes(`:${port.name}`) ? "marked" : "";
  return h("li", h("a.port", { class: `${kind} ${marked}`, href: target, title: `${port.name} to ${port.peer}${told ? `: ${told}` : ""}` },
    h("span.portname", port.name), h("span.peer", port.peer), told && h("span.told", told)));
}

const rates = (link) => [link.lost && `${share(link.loss)} lost`, link.altered && `${count(link.altered)} altered`].filter(Boolean).join(", ");

function linkBody(page, chosen, name) {
  const { model, state } = page;
  const [from, to] = name.split("~");
  if (chosen.cable === undefined) {
    return [
      h("p", element(from), " → ", element(to)),
      faultsHere(page, (suspect) => suspect === name || suspect === to || suspect === from),
      h("div.actions", h("a.button", { href: href(["probes"], { link: name }) }, "Probes"), h("a.button", { href: href(["faults"], { element: name }) }, "Faults here")),
    ];
  }
  const bits = crossedBits(live.links?.crossed);
  const rows = [chosen.reverse, 1 - chosen.reverse].map((reverse) => {
    const id = 2 * chosen.cable + reverse;
    return { name: model.linkName(chosen.cable, reverse), link: state.byLink.get(id), crossed: isCrossed(bits, id) };
  });
  return [
    h("p", element(from), " and ", element(to)),
    faultsHere(page, (suspect) => rows.some((row) => row.name === suspect)),
    h("table.dense", h("caption.unseen", "Both directions of the link now"),
      h("thead", h("tr", ["direction", "passed", "lost", "altered", "missing"].map((title, i) => h("th", { scope: "col", class: i ? "num" : "" }, title)))),
      h("tbody", rows.map(({ name: direction, link, crossed }) => h("tr",
        h("th", { scope: "row" }, h("a.name", { href: href(["fabric", "link", direction]) }, direction.replace("~", " → "))),
        link
          ? [link.passed, link.lost, link.altered, link.missing].map((value, i) => h("td.num", count(value), i === 1 && link.lost ? h("small", ` ${share(link.loss)}`) : ""))
          : h("td.faint", { colspan: 4 }, crossed ? "crossed, nothing lost" : "no probe crossed it lately"))))),
    actions(page, chosen, name, [h("a.button", { href: href(["probes"], { link: name }) }, "Probes")]),
  ];
}

function podBody(page, chosen) {
  const { model, state } = page;
  const servers = chosen.switches.reduce((sum, i) => sum + model.servers[i], 0);
  const pod = model.pods[chosen.pod];
  const faulty = chosen.switches.filter((i) => state.level[i] || state.suspect[i]);
  const inside = new Set(chosen.switches);
  const bad = [...state.bad].reverse().filter((link) => inside.has(model.a[link.cable]) || inside.has(model.b[link.cable]));
  return [
    faultsHere(page, (name) => name === pod || name.split("~").some((end) => inside.has(model.byName.get(end.split(/[/:]/)[0])))),
    facts([
      ["switches", count(chosen.switches.length)], ["servers", count(servers)],
      ["faulty", faulty.length ? h("span", faulty.map((i) => [element(model.switches[i].name), " "])) : "none"],
      ["links losing or altering", bad.length ? h("span", bad.slice(0, 6).map((link) => [element(model.linkName(link.cable, link.reverse)), " "])) : "none"],
    ]),
    actions(page, chosen, pod, [h("a.button", { href: href(["matrix"], { level: "tor", pod_to: pod }) }, "Matrix")]),
  ];
}
