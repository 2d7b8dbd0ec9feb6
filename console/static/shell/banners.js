/** What is away is said at the top of every page: the console itself, the broker, the store. */

import { answers } from "../core/api.js";
import { h } from "../core/dom.js";
import { live } from "../core/live.js";
import { statusIcon } from "../parts/icons.js";

export function banners() {
  const element = h("div.banners", { role: "alert" });
  let unanswered = false;
  let shown = "";
  const show = () => {
    const said = told(unanswered);
    if (said.join("\n") === shown) return;
    shown = said.join("\n");
    element.replaceChildren(...said.map((text) => h("p.banner", statusIcon("warning"), h("span", text))));
  };
  answers.addEventListener("answer", ({ detail }) => {
    unanswered = detail.status === 0;
    show();
  });
  live.on("state", show);
  live.on("overview", show);
  return element;
}

function told(unanswered) {
  if (unanswered) return ["The console does not answer. What is shown is the last that was known; it goes on by itself when the console is back."];
  if (live.state === "reconnecting") return ["The live connection is away; reconnecting. What is shown is the last that was known."];
  return ["broker", "store"].map((part) => away(part)).filter(Boolean);
}

const MEANS = {
  broker: "Nothing here is live",
  store: "History, probes, matrix and SQL are not to be had; what is wrong now is still shown",
};

function away(part) {
  if (!live.overview || live.overview[part]) return null;
  const advice = live.overview[`${part}_advice`] || `the ${part} does not answer`;
  return `${MEANS[part]}: ${advice.replace(/\.$/, "")}.`;
}
