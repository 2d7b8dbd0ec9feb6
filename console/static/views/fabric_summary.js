/** The few figures above the map. */

import { h } from "../core/dom.js";
import { count, duration, share, short } from "../core/format.js";
import { live } from "../core/live.js";
import { href } from "../core/router.js";
import { badLinks } from "../fabric/state.js";
import { statusIcon } from "../parts/icons.js";

export function summary(container, model) {
  const open = live.open();
  const told = live.overview;
  const bySeverity = (name) => open.filter((f) => !f.silenced && f.severity === name).length;
  const silenced = open.filter((f) => f.silenced).length;
  const bad = badLinks(live.links);
  container.replaceChildren(
    tile("Open faults", h("a.counts", { href: href(["faults"]), "aria-label": `${open.length} open faults` },
      ["critical", "warning", "info"].map((name) => h(`span.status.${bySeverity(name) ? name : "none"}`, statusIcon(name, name), h("span.num", bySeverity(name)))),
      silenced > 0 && h("span.status.silenced", statusIcon("silenced", "silenced"), h("span.num", silenced)))),
    tile("Links losing or altering now", h("span.num", count(bad.length), h("small", ` of ${short(2 * model.a.length)}`))),
    tile("Probes", h("span.num", short(told?.probes_per_s), h("small", "/s"))),
    tile("Lost in the network", h("span.num", share(told?.loss_rate))),
    tile("Links covered", h("span.num", share(told?.coverage_share))),
    tile("Fabric", h("span", model.name, h("small", ` ${short(model.switches.length)} switches, ${short(model.servers_total)} servers`))),
    tile("Behind by", h("span.num", live.overview?.broker ? duration(live.clock.lag_us) : "–")),
  );
}

function tile(name, value) {
  return h("div.tile", h("span.label", name), h("div.value", value));
}
