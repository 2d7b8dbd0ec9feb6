/**
 * The heat map: a table of cells, coloured by class. One cell is in the order of tabs; arrows move among them,
 * Enter looks closer. What a cell says is told in a line below, to eyes and to screen readers.
 */

import { h } from "../core/dom.js";
import { count, duration, share } from "../core/format.js";
import { LOSS_LABELS, lossClass, rangeClass, rangeEnds } from "../core/scale.js";

export const CELLS_MOST = 6_600; // 80 by 80, and a little

const lossy = (of) => ({ value: (c) => (c[2] ? c[of] / c[2] : null), classOf: lossClass, text: share, prefix: "loss" });
/** Cells are [row, column, probes, answered, lost, silent, altered, rtt_us_mean, rtt_us_max]. */
export const MEASURES = {
  loss: { title: "Loss", ...lossy(4) },
  silent: { title: "Silent hosts", ...lossy(5) },
  altered: { title: "Altered", ...lossy(6) },
  rtt: { title: "RTT, mean", value: (c) => c[7], classOf: null, text: duration, prefix: "rtt" },
  rtt_max: { title: "RTT, longest", value: (c) => c[8], classOf: null, text: duration, prefix: "rtt" },
};

export function heatmap(matrix, of, drill) {
  const told = h("p.told.num", { role: "status" }, "Arrow keys move; Enter looks closer.");
  const legend = h("ul.legend.heatlegend");
  const grid = [];
  const body = h("tbody", matrix.rows.map((name, r) => {
    grid.push(matrix.columns.map((to, c) => h("td", { role: "gridcell", tabindex: r || c ? "-1" : "0", "data-at": `${r},${c}` })));
    return h("tr", { role: "row" }, h("th", { scope: "row", role: "rowheader", title: name }, h("span", name)), grid[r]);
  }));
  const n = matrix.columns.length;
  const element = h("div.heat", { "data-level": n > 24 ? "many" : n > 8 ? "some" : "few" },
    h("div.axis", h("span", "to →"), h("span.faint", " from ↓")),
    h("div.scroll",
      h("table", { role: "grid", "aria-label": "From row to column", style: { "max-width": `${96 + n * 110}px`, "min-width": `${70 + n * 11}px` } },
        h("thead", h("tr", { role: "row" }, h("td", { role: "presentation" }), matrix.columns.map((name) => h("th", { scope: "col", role: "columnheader", title: name }, h("span", name))))),
        body)),
    told, legend);
  let now = matrix;
  let values = new Map();
  let measure = MEASURES[of];
  let at = [0, 0];

  const tell = (r, c) => {
    const cell = values.get(r * now.columns.length + c);
    told.textContent = `${now.rows[r]} → ${now.columns[c]}: ${cell ? words(cell) : "no probes"}`;
  };
  const move = (r, c) => {
    grid[at[0]][at[1]].tabIndex = -1;
    at = [Math.max(0, Math.min(grid.length - 1, r)), Math.max(0, Math.min(grid[0].length - 1, c))];
    const target = grid[at[0]][at[1]];
    target.tabIndex = 0;
    target.focus();
  };
  const place = (event) => event.target.closest?.("td[data-at]")?.dataset.at.split(",").map(Number);
  body.addEventListener("pointerover", (event) => {
    const found = place(event);
    if (found) tell(...found);
  });
  body.addEventListener("focusin", (event) => {
    const found = place(event);
    if (found) {
      at = found;
      tell(...found);
    }
  });
  const enter = ([r, c]) => drill(now.rows[r], now.columns[c]);
  body.addEventListener("click", (event) => {
    const found = place(event);
    if (found) enter(found);
  });
  body.addEventListener("keydown", (event) => {
    const [r, c] = at;
    const does = {
      ArrowLeft: () => move(r, c - 1), ArrowRight: () => move(r, c + 1), ArrowUp: () => move(r - 1, c), ArrowDown: () => move(r + 1, c),
      Home: () => move(r, 0), End: () => move(r, grid[0].length - 1), Enter: () => enter(at),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  });

  const update = (next, nextOf) => {
    now = next;
    measure = MEASURES[nextOf];
    values = new Map(next.cells.map((cell) => [cell[0] * next.columns.length + cell[1], cell]));
    const known = next.cells.map(measure.value).filter((v) => v !== null && v > 0);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    for (let r = 0; r < grid.length; r++) {
      for (let c = 0; c < grid[r].length; c++) {
        const cell = values.get(r * next.columns.length + c);
        const value = cell ? measure.value(cell) : null;
        const of = value === null ? -1 : measure.classOf ? measure.classOf(value) : rangeClass(value, low, high);
        const td = grid[r][c];
        const name = of < 0 ? "empty" : `${measure.prefix}-${of}`;
        if (td.className !== name) td.className = name;
        const text = value === null ? "" : brief(value, measure);
        if (td.textContent !== text) td.textContent = text;
        td.setAttribute("aria-label", `${next.rows[r]} to ${next.columns[c]}: ${value === null ? "no probes" : `${measure.title} ${measure.text(value)}`}`);
      }
    }
    showLegend(legend, measure, low, high);
  };
  update(matrix, of);
  const same = (xs, ys) => xs.length === ys.length && xs.every((x, i) => x === ys[i]);
  return { element, update, fits: (next) => same(next.rows, now.rows) && same(next.columns, now.columns) };
}

/** What fits into a cell: loss in per cent without its sign, a time with its unit. */
function brief(value, measure) {
  if (measure.prefix === "rtt") return duration(value).replace(/(\d+)\.\d+/, (all, whole) => (whole.length > 1 ? whole : all));
  if (!value) return "·";
  const percent = value * 100;
  return percent >= 10 ? String(Math.round(percent)) : String(Number(percent.toPrecision(2)));
}

function words([, , probes, answered, lost, silent, altered, mean, max]) {
  return [
    `${count(probes)} probes`, `${count(answered)} answered`, `${count(lost)} lost (${share(probes ? lost / probes : 0)})`,
    silent && `${count(silent)} not answered by their host`, altered && `${count(altered)} altered`,
    answered > 0 && `round trip ${duration(mean)} mean, ${duration(max)} longest`,
  ].filter(Boolean).join(", ");
}

function showLegend(legend, measure, low, high) {
  const labels = measure.classOf ? LOSS_LABELS : rangeEnds(low, high).slice(0, 5).map((end, i, all) => `${duration(end)} to ${duration(i < 4 ? all[i + 1] : high)}`);
  if (!measure.classOf && !(high >= low)) {
    legend.replaceChildren();
    return;
  }
  legend.replaceChildren(...labels.map((text, i) => h("li", h(`span.sample.${measure.prefix}-${i}`, { "aria-hidden": "true" }), text)),
    h("li", h("span.sample.empty", { "aria-hidden": "true" }), "no probes"), measure.classOf ? h("li.faint", "numbers are per cent") : "");
}
