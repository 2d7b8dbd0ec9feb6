/** The map as a list: every tier and pod, every switch, with what is wrong. What is closed is not built. */

import { h } from "../core/dom.js";
import { many } from "../core/format.js";
import { LEVELS } from "../fabric/state.js";
import { statusIcon } from "../parts/icons.js";
import { element } from "../parts/text.js";
import { told } from "./fabric_tooltip.js";

export function fabricList(container, model, state) {
  const wasOpen = new Set([...container.querySelectorAll("details[open]")].map((e) => e.dataset.name));
  const active = document.activeElement?.closest?.("[data-name]")?.dataset.name;
  const groups = [...looseByTier(model), ...model.pods.map((name, pod) => ({ name, level: state.podLevel[pod], switches: model.switchesOfPod[pod] }))];
  container.replaceChildren(...groups.map((group) => {
    const level = Math.max(group.level ?? 0, ...group.switches.map((i) => state.level[i]));
    const body = h("div");
    const build = () => {
      if (!body.childElementCount) body.append(switchTable(model, state, group));
    };
    const details = h("details", { "data-name": group.name, ontoggle: () => details.open && build() },
      h("summary", statusIcon(LEVELS[level]), h("strong", group.name), h("span.faint", ` ${many(group.switches.length, "switch", "switches")}, ${level ? `worst: ${LEVELS[level]}` : "nothing wrong"}`)),
      body);
    if (wasOpen.has(group.name) || (groups.length <= 8 && !wasOpen.size && !container.dataset.built)) {
      build();
      details.open = true;
    }
    return details;
  }));
  container.dataset.built = "yes";
  if (active) [...container.querySelectorAll("details")].find((e) => e.dataset.name === active)?.querySelector("summary")?.focus();
}

function looseByTier(model) {
  const tiers = new Map();
  for (const i of model.loose) {
    const tier = model.tierOf(i);
    if (!tiers.has(tier)) tiers.set(tier, []);
    tiers.get(tier).push(i);
  }
  return [...tiers.entries()].map(([name, switches]) => ({ name, switches }));
}

function switchTable(model, state, group) {
  return h("table.dense", h("caption.unseen", `Switches of ${group.name}`),
    h("thead", h("tr", ["switch", "tier", "state", "links losing or altering now"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", group.switches.map((i) => {
      const bad = [...model.cablesOf(i)].flatMap((cable) => [2 * cable, 2 * cable + 1]).map((id) => state.byLink.get(id)).filter(Boolean);
      return h("tr", h("th", { scope: "row" }, element(model.switches[i].name)), h("td", model.tierOf(i)),
        h("td", state.level[i] ? h("span.status", { class: LEVELS[state.level[i]] }, statusIcon(LEVELS[state.level[i]]), LEVELS[state.level[i]])
          : state.suspect[i] ? "suspected" : model.switches[i].drained ? "drained" : "fine"),
        h("td", bad.map((link) => h("div", element(model.linkName(link.cable, link.reverse)), " ", told(link)))));
    })));
}
