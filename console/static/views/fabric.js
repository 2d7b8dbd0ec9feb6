/**
 * The start page: the fabric, and what is wrong with it now.
 *
 * Addresses: fabric, fabric/switch/NAME, fabric/link/A~B, fabric/pod/NAME; `?as=list` shows the list.
 */

import { get, isAbort, named } from "../core/api.js";
import { fill, gently, h } from "../core/dom.js";
import { live } from "../core/live.js";
import { ask, go } from "../core/router.js";
import { theModel } from "../core/world.js";
import { FabricMap } from "../fabric/map.js";
import { locate } from "../fabric/model.js";
import { fabricState } from "../fabric/state.js";
import { choice, failure, loading } from "../parts/blocks.js";
import { lineIcon, statusIcon } from "../parts/icons.js";
import { chosenPanel } from "./fabric_chosen.js";
import { fabricList } from "./fabric_list.js";
import { summary } from "./fabric_summary.js";
import { tooltip } from "./fabric_tooltip.js";
import { losingNow, wrongNow } from "./fabric_wrong.js";

export function open({ route, signal }) {
  const element = h("div.fabric", loading("Fetching the fabric"));
  let page = null;
  let now = route;
  theModel().then(
    (model) => {
      if (signal.aborted) return;
      page = new FabricPage(model, element, signal);
      page.update(now);
    },
    (error) => {
      if (!isAbort(error)) element.replaceChildren(failure(error));
    },
  );
  return {
    element,
    title: "Fabric",
    update(next) {
      now = next;
      page?.update(next);
    },
  };
}

class FabricPage {
  #details = new Map(); // switch index -> what GET fabric/switches says
  #route = { path: [], query: {} };
  #chosenKey = "";

  constructor(model, element, signal) {
    Object.assign(this, { model, element, signal });
    this.map = new FabricMap({
      model, signal,
      detailOf: (i) => this.#details.get(i),
      onInside: (i) => this.detail(i),
      onChoose: (found) => this.#choose(found),
      onHover: (found, at) => this.tip.show(found, at, this.map.scene),
      onStep: (step) => this.#step(step),
    });
    this.tip = tooltip(model);
    this.top = h("div.summary");
    this.wrong = h("section.wrong", { "aria-labelledby": "wrong-now" });
    this.losing = h("section.losing");
    this.chosen = h("section.chosen", { hidden: true });
    this.list = h("div.list", { hidden: true });
    this.stage = h("div.stage", this.#tools(), this.map.element, this.tip.element, legend(), this.list);
    element.replaceChildren(this.top, this.stage, h("aside.side", { "aria-label": "What is wrong, and what is chosen" }, this.chosen, this.wrong, this.losing));
    const soon = gently(() => this.refresh(), 100);
    for (const what of ["faults", "links"]) live.on(what, soon, signal);
    live.on("overview", () => summary(this.top, this.model), signal);
    addEventListener("theme", () => this.map.recolour(), { signal });
    this.refresh();
  }

  /** Show another place, or the list. */
  update(route) {
    this.#route = route;
    const asList = route.query.as === "list";
    this.stage.classList.toggle("as-list", asList);
    this.list.hidden = !asList;
    this.map.element.hidden = asList;
    this.#as?.show(asList ? "list" : "map");
    const key = route.path.join("/");
    if (key !== this.#chosenKey) {
      this.#chosenKey = key;
      const place = this.place();
      if (place && (this.map.scene.layout?.mode !== "tree" || route.query.part)) requestAnimationFrame(() => this.map.goTo(place));
      if (!place) requestAnimationFrame(() => this.map.all());
    }
    this.refresh();
  }

  /** What the address chooses: a place, or null. */
  place() {
    const [, kind, name] = this.#route.path;
    if (!name) return null;
    const place = locate(this.model, name);
    return kind === "link" || place.switches.length ? place : null;
  }

  refresh() {
    const state = fabricState(this.model, live.open(), live.links);
    const chosen = this.place();
    this.map.show({ state, links: live.links, chosen });
    this.state = state;
    summary(this.top, this.model);
    wrongNow(this.wrong, { model: this.model, state, show: (fault) => this.#showFault(fault) });
    losingNow(this.losing, this.model, state);
    chosenPanel(this.chosen, { page: this, chosen, route: this.#route });
    if (!this.list.hidden) fabricList(this.list, this.model, state);
  }

  /** Detail of a switch; asks for it once, and draws again when it is there. */
  detail(index) {
    const known = this.#details.get(index);
    if (known) return known;
    if (known === undefined) {
      this.#details.set(index, null);
      get(named("fabric/switches", this.model.switches[index].name), {}, this.signal).then(
        (detail) => {
          this.#details.set(index, detail);
          this.refresh();
        },
        (error) => {
          if (isAbort(error)) return;
          this.#details.delete(index);
          fill(this.chosen, failure(error));
        },
      );
    }
    return null;
  }

  #choose(found) {
    const { query } = this.#route;
    const kept = { as: query.as };
    if (!found) go(["fabric"], kept);
    else if (found.pod !== undefined) go(["fabric", "pod", this.model.pods[found.pod]], kept);
    else if (found.cable !== undefined) go(["fabric", "link", this.model.linkName(found.cable, found.reverse)], kept);
    else go(["fabric", "switch", this.model.switches[found.switches[0]].name], kept);
  }

  #showFault(fault) {
    const place = this.state.places.get(fault.fault_id);
    if (place) this.map.goTo(place);
  }

  #at = -1;

  /** The next thing that is wrong: chosen, and in sight. */
  #step(step) {
    const places = live.open().map((f) => this.state.places.get(f.fault_id)).filter((p) => p && (p.switches.length || p.cable !== undefined));
    if (!places.length) return;
    this.#at = (this.#at + step + places.length) % places.length;
    this.#choose(places[this.#at]);
    this.map.goTo(places[this.#at]);
  }

  #as;

  #tools() {
    const button = (label, icon, run) => h("button", { type: "button", "aria-label": label, title: label, onclick: run }, lineIcon(icon));
    const shown = choice("Show as", [["map", "Map"], ["list", "List"]], "map", (as) => ask({ as: as === "list" ? as : "" }));
    this.#as = {
      show: (as) => {
        for (const one of shown.children) one.setAttribute("aria-pressed", String(one.dataset.key === `Show as-${as}`));
      },
    };
    return h("div.tools", shown, h("div.zoom", { role: "group", "aria-label": "Zoom" },
      button("Zoom in", "plus", () => this.map.zoom(1.5)),
      button("Zoom out", "minus", () => this.map.zoom(1 / 1.5)),
      button("Show all", "fit", () => this.map.all())));
  }
}

function legend() {
  const line = (kind, text) => h("li", h(`span.key.${kind}`, { "aria-hidden": "true" }), text);
  return h("ul.maplegend", { "aria-label": "What the map's marks mean" },
    h("li.title", "Loss now"),
    line("loss-1", "< 0.1 %"), line("loss-2", "< 1 %"), line("loss-3", "< 10 %"), line("loss-4", "≥ 10 %"),
    line("altered", "altered"), line("uncrossed", "no probe lately"),
    ["critical", "warning", "info", "silenced"].map((name) => h("li", statusIcon(name), name)));
}
