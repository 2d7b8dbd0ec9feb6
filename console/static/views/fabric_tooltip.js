/** What is under the pointer on the map, in a word or two. */

import { h } from "../core/dom.js";
import { count, many, share } from "../core/format.js";
import { LEVELS } from "../fabric/state.js";

export function tooltip(model) {
  const element = h("div.tooltip", { hidden: true, role: "presentation" });
  return {
    element,
    show(found, at, scene) {
      element.hidden = !found;
      if (!found) return;
      element.replaceChildren(...lines(model, found, scene).map((text, i) => h(i ? "div" : "strong", text)));
      const right = at.x > scene.window.w - 240;
      element.style.setProperty("left", `${right ? at.x - 14 : at.x + 14}px`);
      element.style.setProperty("top", `${Math.min(at.y + 14, scene.window.h - 80)}px`);
      element.classList.toggle("leftwards", right);
    },
  };
}

function lines(model, found, { state }) {
  if (found.cable !== undefined) {
    return [0, 1].flatMap((reverse) => {
      const link = state.byLink.get(2 * found.cable + reverse);
      const name = model.linkName(found.cable, reverse).replace("~", " → ");
      return link ? [name, told(link)] : [name, "no loss seen"];
    });
  }
  if (found.pod !== undefined) {
    const servers = found.switches.reduce((sum, i) => sum + model.servers[i], 0);
    return [
      model.pods[found.pod],
      `${many(found.switches.length, "switch", "switches")}, ${many(servers, "server")}`,
      state.podLevel[found.pod] ? `worst: ${LEVELS[state.podLevel[found.pod]]}` : "nothing wrong",
      state.podBad[found.pod] ? `${many(state.podBad[found.pod], "link")} losing or altering now` : "",
    ].filter(Boolean);
  }
  const i = found.switches[0];
  const one = model.switches[i];
  return [
    one.name,
    [model.tiers[one.tier], one.pod >= 0 && model.pods[one.pod], one.chips > 1 && `${one.chips} chips`, one.drained && "drained"].filter(Boolean).join(", "),
    `${many(model.cablesOf(i).length, "cable")}, ${many(model.servers[i], "server")}`,
    state.level[i] ? `fault: ${LEVELS[state.level[i]]}` : state.suspect[i] ? "suspected" : "nothing wrong",
  ];
}

export function told(link) {
  return [
    link.lost && `${share(link.loss)} lost (${count(link.lost)} of ${count(link.passed + link.lost)})`,
    link.altered && `${count(link.altered)} altered`,
  ].filter(Boolean).join(", ");
}
