/** Evidence of a fault over time: per link and leg what share was lost or altered, as lines and as a table. */

import { h } from "../core/dom.js";
import { clock, count, moment, share } from "../core/format.js";
import { timeTicks } from "../core/scale.js";
import { chart } from "../parts/chart.js";
import { notice, table } from "../parts/blocks.js";
import { element } from "../parts/text.js";

const ROWS_MOST = 60;

/** `told`: the answer of GET faults/{id}/evidence. Series that lost or altered most come first. */
export function evidenceChart(told, fault) {
  if (!told.slot_us.length || !told.series.length) return notice("No evidence is stored yet: it comes with the next slots.");
  const rows = told.series
    .map((one) => ({ ...one, hurt: sum(one.lost) + sum(one.altered) }))
    .sort((x, y) => y.hurt - x.hurt);
  const altering = fault?.kind === "alteration";
  const x = told.slot_us;
  return h("div",
    chart({
      x,
      label: altering ? "Share of packets altered over time" : "Share of packets lost over time",
      series: rows.map((one) => ({
        name: `${one.link.replace("~", " → ")} (${one.leg})`,
        values: x.map((_, i) => rate(one, i, altering)),
      })),
      xText: (us, fully) => (fully ? `${moment(us, 3)} UTC` : clock(us)),
      yText: share,
      xTicks: ([from, to], wanted) => timeTicks(from, to, wanted),
      yMax: Math.min(1, Math.max(0.01, ...rows.flatMap((one) => x.map((_, i) => rate(one, i, altering) ?? 0))) * 1.1),
      marks: fault ? [{ at: fault.first_seen_us, text: "first seen" }, ...(fault.state === "resolved" && fault.resolved_at_us ? [{ at: fault.resolved_at_us, text: "resolved" }] : [])] : [],
    }),
    h("details", h("summary", "As a table"), table([
      { title: "link", wide: true, cell: (r) => element(r.link) },
      { title: "leg", cell: (r) => r.leg },
      { title: "passed", num: true, cell: (r) => count(sum(r.passed)) },
      { title: "lost", num: true, cell: (r) => count(sum(r.lost)) },
      { title: "loss", num: true, cell: (r) => share(sum(r.lost) / Math.max(1, sum(r.lost) + sum(r.passed))) },
      { title: "altered", num: true, cell: (r) => count(sum(r.altered)) },
      { title: "copies missing", num: true, cell: (r) => count(sum(r.missing)) },
    ], rows.slice(0, ROWS_MOST), { caption: "Evidence by link and leg" })));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

function rate(one, i, altering) {
  const all = one.passed[i] + one.lost[i];
  if (!all) return null;
  return (altering ? Math.min(one.altered[i], all) : one.lost[i]) / all;
}
