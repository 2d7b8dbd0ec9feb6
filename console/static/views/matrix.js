/**
 * From where to where: loss or round-trip time, pod by pod or ToR by ToR, for any stretch of time.
 *
 * Address: `matrix?level=&of=&kind=&pod_from=&pod_to=&minutes=&until_us=`; without until_us it follows the present.
 */

import { get } from "../core/api.js";
import { every, h } from "../core/dom.js";
import { count } from "../core/format.js";
import { live } from "../core/live.js";
import { ask, href } from "../core/router.js";
import { choice, into, loading, notice, picker, table } from "../parts/blocks.js";
import { element as elementLink } from "../parts/text.js";
import { CELLS_MOST, heatmap, MEASURES } from "./matrix_cells.js";
import { timeSlider } from "./matrix_time.js";

const FOLLOW_EVERY_MS = 3_000;
const OVER_US = 600e6;
const WINDOWS = [["1", "1 min"], ["5", "5 min"], ["15", "15 min"], ["60", "1 h"], ["360", "6 h"], ["1440", "1 d"]];
const KINDS = [["", "all kinds"], ["north_south", "north-south"], ["east_west", "east-west"], ["inter_prober", "between Probers"]];
const WORST_MOST = 12;

export function open({ route, signal }) {
  let query = route.query;
  const cells = h("div.matrixarea", loading());
  const worst = h("div");
  const head = h("div.filters");
  const crumbs = h("div.crumbs");
  const slider = timeSlider((until_us) => ask({ until_us: until_us ?? "" }));
  let drawn = null;
  let known = null; // what GET matrix/span said last

  const window_us = () => Number(query.minutes ?? 5) * 60e6;
  // Of a run that is over the end is looked at, since nothing is left at the present.
  const present_us = () => (known && known.to_us < live.now_us() - OVER_US ? known.to_us : Math.round(live.now_us()));
  const until_us = () => (query.until_us ? Number(query.until_us) : present_us());
  let asking = new AbortController();
  signal.addEventListener("abort", () => asking.abort());
  const load = () => {
    asking.abort(); // an answer to what was asked before is of no use
    asking = new AbortController();
    const to_us = until_us();
    const asked = { level: query.level ?? "pod", kind: query.kind, from_us: to_us - window_us(), to_us, pod_from: query.pod_from, pod_to: query.pod_to };
    return into(cells, get("matrix", asked, asking.signal), (matrix) => {
      const of = MEASURES[query.of] ? query.of : "loss";
      if (matrix.rows.length * matrix.columns.length > CELLS_MOST) {
        cells.replaceChildren(notice(`${count(matrix.rows.length)} by ${count(matrix.columns.length)} is more than can be looked at. Choose a pod first: look at pods, and open a cell.`));
        drawn = null;
      } else if (drawn?.element.isConnected && drawn.fits(matrix, of)) {
        drawn.update(matrix, of);
      } else {
        drawn = heatmap(matrix, of, (from, to) => drill(from, to));
        cells.replaceChildren(drawn.element);
      }
      worst.replaceChildren(worstPairs(matrix, of));
    });
  };
  const drill = (from, to) => {
    if ((query.level ?? "pod") === "pod") ask({ level: "tor", pod_from: from, pod_to: to }, { replace: false });
    else location.hash = href(["probes"], { switch: to, from_us: until_us() - window_us(), to_us: until_us() });
  };
  const show = () => {
    head.replaceChildren(
      choice("Level", [["pod", "Pods"], ["tor", "ToRs"]], query.level ?? "pod", (level) => ask({ level, pod_from: "", pod_to: "" }, { replace: false })),
      choice("Measure", Object.entries(MEASURES).map(([name, m]) => [name, m.title]), query.of ?? "loss", (of) => ask({ of })),
      picker("Kind", KINDS, query.kind ?? "", (kind) => ask({ kind })),
      picker("Window", WINDOWS, query.minutes ?? "5", (minutes) => ask({ minutes })));
    crumbs.replaceChildren(...(query.pod_from || query.pod_to
      ? [h("a", { href: href(["matrix"], { ...query, level: "pod", pod_from: "", pod_to: "" }) }, "all pods"), ` › ${query.pod_from || "any"} → ${query.pod_to || "any"}, ToR by ToR`] : []));
    slider.show({ until_us: query.until_us ? Number(query.until_us) : null, present_us: present_us(), window_us: window_us() });
  };
  const span = async () => {
    try {
      known = await get("matrix/span", {}, signal);
      slider.span(known);
      show();
    } catch (error) {
      if (error?.status === undefined && error?.name !== "AbortError") throw error;
    }
  };
  every(FOLLOW_EVERY_MS, async () => {
    if (query.until_us) return;
    await load();
    await span();
  }, signal);
  show();
  span().then(load);
  return {
    element: h("div.page",
      h("div.head", h("h1", "Matrix"), crumbs), head, slider.element,
      h("div.split", h("section.card", cells), h("section.card", h("h2", "Worst pairs"), worst))),
    title: "Matrix",
    update(next) {
      query = next.query;
      show();
      load();
    },
  };
}

function worstPairs(matrix, of) {
  const measure = MEASURES[of];
  const rows = matrix.cells.map((cell) => ({ cell, value: measure.value(cell) })).filter((one) => one.value > 0)
    .sort((x, y) => y.value - x.value).slice(0, WORST_MOST);
  return table([
    { title: "from", cell: ({ cell }) => elementLink(matrix.rows[cell[0]]) },
    { title: "to", cell: ({ cell }) => elementLink(matrix.columns[cell[1]]) },
    { title: measure.title.toLowerCase(), num: true, cell: ({ value }) => measure.text(value) },
    { title: "probes", num: true, cell: ({ cell }) => count(cell[2]) },
  ], rows, { caption: "Worst pairs", empty: of === "rtt" || of === "rtt_max" ? "No probe was answered." : `Nothing: no pair has any.` });
}

