/** The search box: names of elements and servers; a number is a probe. A combobox that the keyboard works. */

import { get, isAbort } from "../core/api.js";
import { h } from "../core/dom.js";
import { go, href } from "../core/router.js";
import { elementHref } from "../parts/text.js";
import { lineIcon } from "../parts/icons.js";

const WAIT_MS = 120;
/** Where kinds lead that are no elements of the map. */
const PAGES = {
  fault: (name) => href(["faults", name]),
  probe: (name) => href(["probe", name]),
  collector: (name) => href(["health"], { source: name }),
};

export function searchBox() {
  const list = h("ul", { id: "search-found", role: "listbox", "aria-label": "Found", hidden: true });
  const input = h("input", {
    id: "search", type: "search", placeholder: "Search  /", autocomplete: "off", spellcheck: "false",
    role: "combobox", "aria-label": "Search switches, links, servers, probes", "aria-expanded": "false",
    "aria-controls": "search-found", "aria-autocomplete": "list",
  });
  const element = h("div.search", { role: "search" }, lineIcon("search"), input, list);
  let options = [];
  let at = -1;
  let asking = null;
  let timer = 0;

  const close = () => {
    clearTimeout(timer);
    asking?.abort();
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (to) => {
    at = options.length ? (to + options.length) % options.length : -1;
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === at)));
    if (at >= 0) {
      input.setAttribute("aria-activedescendant", `found-${at}`);
      list.children[at].scrollIntoView({ block: "nearest" });
    }
  };
  const take = (option) => {
    input.value = "";
    close();
    input.blur();
    location.hash = option.to;
  };
  const show = (found) => {
    options = found;
    list.replaceChildren(...(found.length
      ? found.map((one, i) => h("li", { id: `found-${i}`, role: "option", "aria-selected": "false", onpointerdown: (e) => { e.preventDefault(); take(one); } },
        h("span.name", one.name), h("span.faint", one.kind)))
      : [h("li.none", { role: "option", "aria-disabled": "true", "aria-selected": "false" }, "Nothing is called that.")]));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(0);
  };
  const look = async () => {
    const text = input.value.trim();
    if (!text) return close();
    asking?.abort();
    asking = new AbortController();
    const own = asking;
    try {
      const answer = await get("search", { q: text }, own.signal);
      if (own.signal.aborted || document.activeElement !== input) return undefined;
      const named = answer.map(({ kind, name }) => ({ kind, name, to: (PAGES[kind] ?? elementHref)(name) }));
      show(named);
    } catch (error) {
      if (!isAbort(error)) show([]);
    }
    return undefined;
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MS);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") mark(at + 1);
    else if (event.key === "ArrowUp") mark(at - 1);
    else if (event.key === "Enter" && !list.hidden && options[at]) take(options[at]);
    else if (event.key === "Enter" && /^\d{6,20}$/.test(input.value.trim())) go(["probe", input.value.trim()]);
    else if (event.key === "Escape") {
      input.value = "";
      close();
      input.blur();
    } else return;
    event.preventDefault();
  });
  return element;
}
