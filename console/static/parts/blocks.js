/** What views are put together from: cards, facts, tables, notices. */

import { h } from "../core/dom.js";
import { isAbort } from "../core/api.js";
import { statusIcon } from "./icons.js";

const SLOW_MS = 3_000;

export function card(title, ...content) {
  return h("section.card", title && h("h2", title), content);
}

/** Pairs of a word and what it is, as a list of definitions. */
export function facts(pairs, kind = "") {
  return h("dl.facts", { class: kind }, pairs.filter(Boolean).map(([name, value]) => h("div", h("dt", name), h("dd", value ?? "–"))));
}

/**
 * A table. `columns`: [{title, cell(row) -> child, num: right-aligned, wide: takes what is left, wrap: may be
 * broken into lines}].
 * `caption` is read to those who do not see; `row(row)` gives attributes of a row.
 */
export function table(columns, rows, { caption, empty = "Nothing here.", row = () => ({}) } = {}) {
  if (!rows.length) return notice(empty);
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": caption ?? "Table" },
    h("table", caption && h("caption.unseen", caption),
      h("thead", h("tr", columns.map((c) => h("th", { scope: "col", class: classOf(c), title: c.hint }, c.title)))),
      h("tbody", rows.map((r) => h("tr", row(r), columns.map((c) => h("td", { class: classOf(c) }, c.cell(r))))))));
}

const classOf = (column) => [column.num && "num", column.wide && "wide", column.wrap && "wrap"].filter(Boolean).join(" ") || undefined;

/** Says that there is nothing, or why. */
export function notice(text, kind = "quiet") {
  const icon = { error: "critical", warning: "warning", fine: "fine" }[kind];
  return h(`p.notice.${kind}`, kind === "error" ? { role: "alert" } : null, icon && statusIcon(icon), h("span", text));
}

/** What an error says, with what to do where the API knows. */
export function failure(error) {
  if (error?.status === 503) return notice(`Not to be had now: ${error.message}`, "error");
  if (error?.status === 404) return notice(error.message, "quiet");
  return notice(error?.message ?? String(error), "error");
}

export const loading = (what = "Loading") => h("p.notice.quiet.loading", { role: "status" }, `${what} …`);

/**
 * Fill a container with what a promise gives; says that it loads, or why it does not.
 * What is there already stays until the new is there.
 */
export async function into(container, promise, show) {
  if (!container.childElementCount) container.replaceChildren(loading());
  container.setAttribute("aria-busy", "true");
  const slow = setTimeout(() => {
    const waiting = container.querySelector(":scope > .loading");
    if (waiting) waiting.textContent = "Still loading: the store is slow to answer …";
  }, SLOW_MS);
  try {
    const value = await promise;
    show(value);
    return value;
  } catch (error) {
    if (isAbort(error)) return undefined;
    if (error?.status === undefined) throw error;
    container.replaceChildren(failure(error));
    return undefined;
  } finally {
    clearTimeout(slow);
    container.removeAttribute("aria-busy");
  }
}

/** A choice of a few, of which one is pressed. */
export function choice(label, options, chosen, pick) {
  const group = h("div.choice", { role: "group", "aria-label": label });
  const show = (now) => group.replaceChildren(...options.map(([value, text]) =>
    h("button", {
      type: "button", "aria-pressed": String(value === now), "data-key": `${label}-${value}`,
      onclick: () => {
        show(value);
        group.querySelector("[aria-pressed=true]")?.focus();
        pick(value);
      },
    }, text)));
  show(chosen);
  return group;
}

/** A labelled select; `options`: [[value, text]]. */
export function picker(label, options, chosen, pick) {
  return h("label.field", h("span", label),
    h("select", { onchange: (event) => pick(event.target.value), "data-key": label },
      options.map(([value, text]) => h("option", { value, selected: value === chosen }, text))));
}
