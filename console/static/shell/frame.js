/** The frame around every view: navigation, search, whether it is live, the clock, the theme, and banners. */

import { h } from "../core/dom.js";
import { clock, count, day } from "../core/format.js";
import { live } from "../core/live.js";
import { href } from "../core/router.js";
import { statusIcon } from "../parts/icons.js";
import { banners } from "./banners.js";
import { showHelp } from "./help.js";
import { searchBox } from "./search.js";
import { themeSwitch } from "./theme_switch.js";

export const PAGES = [
  ["fabric", "Fabric", "f"], ["faults", "Faults", "a"], ["probes", "Probes", "o"], ["matrix", "Matrix", "m"],
  ["coverage", "Coverage", "c"], ["health", "Health", "h"], ["sql", "SQL", "s"],
];

export function frame() {
  const links = PAGES.map(([name, title]) => h("a", { href: href([name]), "data-page": name }, title, name === "faults" && h("span.badge", { id: "faults-open", hidden: true })));
  return [
    h("a.skip", { href: "#/", onclick: skip }, "Skip to content"),
    h("header.top",
      h("a.brand", { href: href(["fabric"]), "aria-label": "ByteTracker, start page" }, mark(), h("span", "ByteTracker")),
      h("nav", { "aria-label": "Pages" }, links),
      searchBox(),
      connection(),
      utc(),
      themeSwitch(),
      h("button.quiet", { type: "button", "aria-label": "Help and keys", title: "Help and keys (?)", onclick: showHelp }, "?")),
    banners(),
    h("main", { tabindex: "-1", id: "content" }),
    h("div.unseen", { id: "announce", role: "status" }),
  ];
}

function skip(event) {
  event.preventDefault();
  document.querySelector("main").focus();
}

function mark() {
  const icon = h("img", { src: "static/icon.svg", alt: "", width: 20, height: 20 });
  return icon;
}

export function showActive(name) {
  const page = name === "probe" ? "probes" : name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

const STATES = { connecting: ["info", "connecting"], live: ["fine", "live"], reconnecting: ["warning", "reconnecting"], locked: ["silenced", "locked"] };

function connection() {
  const element = h("div.live", { role: "status", "aria-label": "Connection" });
  const show = () => {
    const [icon, text] = STATES[live.state];
    element.replaceChildren(statusIcon(icon), h("span", text));
    element.dataset.state = live.state;
  };
  live.on("state", show);
  live.on("faults", () => {
    const badge = document.querySelector("#faults-open");
    const loud = live.open().filter((fault) => !fault.silenced).length;
    badge.textContent = count(loud);
    badge.hidden = loud === 0;
    badge.setAttribute("aria-label", `${loud} open`);
    badge.classList.toggle("bad", live.open().some((fault) => !fault.silenced && fault.severity === "critical"));
  });
  show();
  return element;
}

function utc() {
  const time = h("time.num.utc", { title: "Now, UTC" });
  const show = () => {
    const now = live.now_us();
    time.replaceChildren(h("span.day", `${day(now)} `), `${clock(now)} UTC`);
  };
  show();
  setInterval(show, 1_000);
  return time;
}

