/** Answers of the store: as a table, as lines or bars. The columns that are numbers are drawn over the first other. */

import { h } from "../core/dom.js";
import { clock, day, short } from "../core/format.js";
import { timeTicks } from "../core/scale.js";
import { notice } from "../parts/blocks.js";
import { chart } from "../parts/chart.js";

const ROWS_SHOWN = 1_000;
const BARS_MOST = 60;

export const isNumber = (type) => /^(Nullable\()?(LowCardinality\()?(U?Int|Float|Decimal)/.test(type);
export const isTime = (type) => /^(Nullable\()?(LowCardinality\()?Date/.test(type);

/** A value as text: what is nested as JSON, NULL as such. */
export function cellText(value) {
  if (value === null || value === undefined) return "NULL";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export function resultTable({ names, types, rows }) {
  if (!rows.length) return notice("The query found no rows.");
  return h("div.scroll.rows", { tabindex: "0", role: "region", "aria-label": "Result" },
    h("table.dense", h("caption.unseen", "Result of the query"),
      h("thead", h("tr", names.map((name, i) => h("th", { scope: "col", class: isNumber(types[i]) ? "num" : "", title: types[i] }, name)))),
      h("tbody", rows.slice(0, ROWS_SHOWN).map((row) => h("tr", row.map((value, i) =>
        h("td", { class: [isNumber(types[i]) && "num", value === null && "null"].filter(Boolean).join(" ") || undefined }, cellText(value))))))));
}

/** What is drawn over what: pure. x: the first column of time, else the first that is no number, else the rows. */
export function chosenColumns(types) {
  const time = types.findIndex(isTime);
  const x = time >= 0 ? time : types.findIndex((type) => !isNumber(type));
  const values = types.map((type, i) => i).filter((i) => i !== x && isNumber(types[i]));
  return { x, values, time: time >= 0 };
}

export function resultChart({ names, types, rows }, kind) {
  const { x, values, time } = chosenColumns(types);
  if (!values.length) return notice("There is no column of numbers to draw.");
  let shown = rows;
  if (time) shown = rows.map((row) => ({ row, at: instant(row[x]) })).filter((one) => one.at !== null).sort((a, b) => a.at - b.at).map((one) => one.row);
  if (kind === "bar" && !time) shown = shown.slice(0, BARS_MOST);
  const at = shown.map((row, i) => (time && kind === "line" ? instant(row[x]) : i));
  const label = (i) => (x < 0 ? String(i + 1) : cellText(shown[i]?.[x] ?? ""));
  const timed = time && kind === "line";
  return h("div",
    shown.length < rows.length && h("p.faint", `The first ${shown.length} of ${rows.length} rows.`),
    chart({
      x: at, kind, label: "Result of the query", height: 300, yText: short,
      yMin: Math.min(0, ...values.flatMap((v) => shown.map((row) => Number(row[v] ?? 0)))),
      series: values.map((v) => ({ name: names[v], values: shown.map((row) => (row[v] === null ? null : Number(row[v]))) })),
      xText: timed ? (us, fully) => (fully ? `${day(us)} ${clock(us, 3)} UTC` : clock(us)) : (i, fully) => (fully ? label(Math.round(i)) : shorter(label(Math.round(i)))),
      xTicks: timed ? ([from, to], wanted) => timeTicks(from, to, wanted) : ([from, to], wanted) => places(Math.ceil(from), Math.floor(to), wanted),
    }));
}

const shorter = (text) => (text.length > 14 ? `${text.slice(0, 13)}…` : text);

function places(from, to, wanted) {
  const step = Math.max(1, Math.ceil((to - from + 1) / Math.max(1, wanted)));
  const made = [];
  for (let i = from; i <= to; i += step) made.push(i);
  return made;
}

/** A time as the API writes it, ISO or ClickHouse's own, UTC -> us; null if it is none. */
export function instant(value) {
  if (typeof value === "number") return value;
  const text = String(value).trim().replace(" ", "T");
  const found = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}:\d{2})(?:\.(\d{1,6}))?)?(?:Z|\+00:00)?$/.exec(text);
  if (!found) return null;
  const ms = Date.parse(`${found[1]}T${found[2] ?? "00:00:00"}Z`);
  return Number.isNaN(ms) ? null : ms * 1e3 + Number((found[3] ?? "").padEnd(6, "0"));
}
