/**
 * Lines or bars over an axis, drawn as SVG. Colours come from the style sheet (`series-0` to `series-7`), and each
 * series has a dash and a legend of its own. Under the pointer, or with the arrow keys, the values of one place
 * are told.
 */

import { h, s } from "../core/dom.js";
import { linear, ticks } from "../core/scale.js";

const M = { top: 10, right: 12, bottom: 24, left: 56 };
export const SERIES_MOST = 8;

/**
 * `x`: numbers; `series`: [{name, values}] as long as x, null: nothing there. `xText`, `yText`: how a value reads;
 * `xTicks`: where the axis is marked. `kind`: line, bar or step. `marks`: [{at, text}] vertical lines.
 */
export function chart({ x, series, xText, yText, xTicks, kind = "line", height = 190, label, marks = [], yMax, yMin = 0 }) {
  const shown = series.slice(0, SERIES_MOST);
  const holder = h("div.chart", { tabindex: "0", role: "group", "aria-label": `${label}. Arrow keys read the values.` });
  const told = h("p.told.num", { "aria-live": "polite" });
  const legend = h("ul.legend", shown.map((one, i) => h("li", swatch(i, kind), one.label ?? one.name)),
    series.length > shown.length && h("li.faint", `and ${series.length - shown.length} more, see the table`));
  const box = h("div.plot");
  holder.append(box, told, legend);
  let at = -1;
  let draw = () => {};

  const watch = new ResizeObserver(([entry]) => draw(Math.max(260, entry.contentRect.width)));
  watch.observe(box);

  draw = (width) => {
    const highest = yMax ?? Math.max(1e-9, ...shown.flatMap((one) => one.values.filter((v) => v !== null)));
    const ends = kind === "bar" ? [-0.5, x.length - 0.5] : [x[0], x.at(-1)];
    const lowest = Math.min(yMin, ...shown.flatMap((one) => one.values.filter((v) => v !== null)));
    const px = linear(ends, [M.left, width - M.right]);
    const py = linear([lowest, highest * 1.05], [height - M.bottom, M.top]);
    const place = (i) => px(kind === "bar" ? i : x[i]);
    const cursor = s("line.cursor", { y1: M.top, y2: height - M.bottom, x1: -9, x2: -9 });
    const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
      ticks(lowest, highest, 4).map((v) => [
        s("line.grid", { x1: M.left, x2: width - M.right, y1: py(v), y2: py(v) }),
        s("text.tick", { x: M.left - 6, y: py(v) + 3.5, "text-anchor": "end" }, yText(v)),
      ]),
      axis(xTicks(ends, Math.floor((width - M.left) / 90)), px, xText, height, width - M.right),
      marks.filter((m) => m.at >= ends[0] && m.at <= ends[1]).map((m) => [
        s("line.mark", { x1: px(m.at), x2: px(m.at), y1: M.top, y2: height - M.bottom }),
        s("text.tick", { x: px(m.at) + 4, y: M.top + 8 }, m.text),
      ]),
      shown.map((one, i) => (kind === "bar"
        ? bars(one, i, shown.length, place, py, (width - M.left) / x.length, lowest)
        : line(one, i, x, place, py, kind))),
      cursor);
    box.replaceChildren(svg);
    const tell = (i) => {
      at = Math.max(0, Math.min(x.length - 1, i));
      cursor.setAttribute("x1", place(at));
      cursor.setAttribute("x2", place(at));
      const values = shown.map((one) => `${one.name}: ${one.values[at] === null ? "–" : yText(one.values[at])}`);
      told.textContent = `${xText(x[at], true)}   ${values.slice(0, 4).join("   ")}`;
    };
    svg.addEventListener("pointermove", (event) => {
      const left = event.clientX - svg.getBoundingClientRect().left;
      tell(nearest(x.length, place, left));
    });
    holder.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      tell(at < 0 ? (step > 0 ? 0 : x.length - 1) : at + step);
    };
  };
  return holder;
}

function nearest(n, place, left) {
  let low = 0;
  let high = n - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (place(middle) < left) low = middle + 1;
    else high = middle;
  }
  return low > 0 && left - place(low - 1) < place(low) - left ? low - 1 : low;
}

function axis(at, px, xText, height, right) {
  return at.map((v) => [
    s("line.tickmark", { x1: px(v), x2: px(v), y1: height - M.bottom, y2: height - M.bottom + 4 }),
    s("text.tick", { x: px(v), y: height - 6, "text-anchor": px(v) > right - 20 ? "end" : "middle" }, xText(v)),
  ]);
}

function line(one, i, x, place, py, kind) {
  const parts = [];
  const points = [];
  let drawing = false;
  one.values.forEach((value, k) => {
    if (value === null || value === undefined) {
      drawing = false;
      return;
    }
    const [left, top] = [place(k).toFixed(1), py(value).toFixed(1)];
    parts.push(drawing ? (kind === "step" ? `H${left}V${top}` : `L${left} ${top}`) : `M${left} ${top}`);
    const alone = !drawing && (one.values[k + 1] === null || one.values[k + 1] === undefined);
    if (alone || one.values.length <= 40) points.push(s(`circle.series-${i}`, { cx: left, cy: top, r: 2 }));
    drawing = true;
  });
  return [s(`path.line.series-${i}`, { d: parts.join("") }), points];
}

function bars(one, i, n, place, py, room, lowest) {
  const wide = Math.max(1, (room * 0.8) / n);
  const base = py(Math.max(0, lowest));
  return one.values.map((value, k) => value !== null && s(`rect.series-${i}`, {
    x: place(k) - (wide * n) / 2 + i * wide, width: Math.max(1, wide - 1),
    y: Math.min(py(value), base), height: Math.abs(base - py(value)),
  }));
}

function swatch(i, kind) {
  return s("svg.swatch", { viewBox: "0 0 18 8", width: 18, height: 8, "aria-hidden": "true" },
    kind === "bar" ? s(`rect.series-${i}`, { width: 18, height: 8 }) : s(`path.line.series-${i}`, { d: "M0 4H18" }));
}
