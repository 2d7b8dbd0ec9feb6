/**
 * The way of a probe, one lane a leg: the probe from left to right, its reply back from right to left below it.
 *
 * A node that should have mirrored the packet and did not is drawn with a broken line: a missing copy if the
 * packet was seen further on, else the place that it never reached.
 */

import { h } from "../core/dom.js";
import { clock, duration, moment } from "../core/format.js";
import { statusIcon } from "../parts/icons.js";
import { element } from "../parts/text.js";

const TITLES = { encapsulated: "In the tunnel, to the switch that sends it on", probe: "Probe", reply: "Reply" };
const FAILED = new Set(["network_loss", "corrupted", "altered", "loop", "unexpected_path", "host_silent", "unobserved"]);

export function path(probe) {
  const legs = probe.legs.filter((leg) => leg.nodes.length);
  if (!legs.length) return h("p.notice", "No switch saw this probe.");
  return h("div.lanes", legs.map((leg) => lane(probe, leg)), h("p.faint", "Times are those at which the collectors received the copies, since the probe was sent. They cross the management network, so small differences mean little."));
}

function lane(probe, leg) {
  const nodes = described(probe, leg);
  const back = leg.leg === "reply";
  return h("section.lane", { class: back ? "back" : "" },
    h("h3", TITLES[leg.leg] ?? leg.leg, h("span.faint", ` ${back ? "back to" : "from"} ${probe.prober}`)),
    h("ol", nodes.map((node, i) => [i > 0 && gap(node), box(probe, node)])));
}

/** What each node of a leg is: seen, missing (its copy), or beyond where the probe stopped. */
function described(probe, leg) {
  const ours = probe.fault_leg === leg.leg && FAILED.has(probe.verdict);
  const lastSeen = leg.nodes.findLastIndex((node) => node.seen);
  const stopped = ours && ["network_loss", "corrupted", "unobserved", "host_silent"].includes(probe.verdict);
  let before = null;
  return leg.nodes.map((node, i) => {
    const made = {
      ...node, i,
      how: node.seen ? "seen" : stopped && i > lastSeen ? "beyond" : node.kind === "switch" ? "missing" : "end",
      stopsHere: stopped && i === lastSeen + 1 && probe.verdict !== "host_silent",
      wrongHere: ours && !stopped && probe.last_seen && leg.nodes[i - 1]?.name === probe.last_seen,
      changes: [],
    };
    if (before && node.seen) {
      if (node.ttl !== null && before.ttl !== null && node.ttl !== undefined && before.ttl !== undefined) made.ttlStep = node.ttl - before.ttl;
      if (node.altered && !before.altered) made.changes.push("content altered from here on");
      if (!node.altered && before.altered) made.changes.push("content is whole again: the copy before was bad");
      if (made.ttlStep !== undefined && made.ttlStep !== before.i - i) made.changes.push(`TTL fell by ${-made.ttlStep}, not ${i - before.i}`);
    } else if (!before && node.seen && node.altered) {
      made.changes.push("altered when first seen");
    }
    if (node.seen) before = made;
    return made;
  });
}

function gap(to) {
  const kind = to.stopsHere ? "stopped" : to.how === "beyond" ? "never" : to.wrongHere ? "wrong" : "";
  return h("li.gap", { class: kind },
    h("span.arrow", { "aria-hidden": "true" }),
    to.stopsHere && h("span.stop", statusIcon("missing", "stopped here")),
    kind === "wrong" && h("span.stop", statusIcon("critical", "went wrong here")));
}

/** What is to be said of a node that was not seen. */
function how(probe, node) {
  if (node.how === "missing") return "no mirror copy";
  if (node.how !== "beyond") return "";
  if (node.kind === "prober") return "no reply came";
  if (node.kind === "server") return probe.verdict === "host_silent" ? "does not answer" : "not reached";
  return "never seen here";
}

function box(probe, node) {
  return h("li.hop", { class: `${node.how} ${node.altered ? "altered" : ""}` },
    h("div.hopname", element(node.name)),
    h("div.hopkind", [node.kind, node.port && `port ${node.port}`].filter(Boolean).join(", ")),
    node.seen && node.ttl !== null && node.ttl !== undefined && h("div.num", `TTL ${node.ttl}`),
    node.at_us && h("div.num", { title: `${moment(node.at_us, 6)} UTC` }, since(probe, node)),
    how(probe, node) && h("div.how", statusIcon(node.how === "missing" ? "silenced" : "missing"), how(probe, node)),
    node.altered && h("div.how.alteredword", statusIcon("critical"), "altered copy"),
    node.changes.map((text) => h("div.change", text)));
}

function since(probe, node) {
  const after = node.at_us - probe.sent_at_us;
  return after >= 0 && after < 60e6 ? `${duration(after)} after` : clock(node.at_us, 6);
}
