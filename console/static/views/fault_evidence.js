/** Evidence of a fault over time: per link and leg what share was lost or altered, as lines and as a table. */

import { h } from "../core/dom.js";
import { clock, count, moment, share, span } from "../core/format.js";
import { timeTicks } from "../core/scale.js";
import { chart } from "../parts/chart.js";
import { notice, table } from "../parts/blocks.js";
import { element } from "../parts/text.js";

const ROWS_MOST = 60;
const POINTS_MOST = 90;
const STEPS_US = [1e6, 2e6, 5e6, 10e6, 30e6, 60e6, 300e6, 900e6, 3600e6, 14400e6, 86400e6];

/** `told`: the answer of GET faults/{id}/evidence. Series that lost or altered most come first. */
export function evidenceChart(told, fault) {
  if (!told.slot_us.length || !told.series.length) return notice("No evidence is stored yet: it comes with the next slots.");
  const altering = fault?.kind === "alteration";
  const rows = told.series
    .map((one) => ({ ...one, hurt: altering ? sum(one.altered) : sum(one.lost) }))
    .sort((x, y) => y.hurt - x.hurt);
  // Losses of which the next hop is not known count only what was lost: they have no rate.
  const rated = rows.filter((one) => !one.link.endsWith("~"));
  const { x, step_us, series } = binned(told, rated);
  const rates = series.map((one) => x.map((_, i) => rate(one, i, altering)));
  return h("div",
    chart({
      x,
      label: altering ? "Share of packets altered over time" : "Share of packets lost over time",
      series: series.map((one, i) => ({ name: `${one.link.replace("~", " → ")} (${one.leg})`, values: rates[i] })),
      xText: (us, fully) => (fully ? `${moment(us)} UTC` : clock(us)),
      yText: share,
      xTicks: ([from, to], wanted) => timeTicks(from, to, wanted),
      yMax: Math.min(1, Math.max(0.01, ...rates.flat().map((value) => value ?? 0)) * 1.1),
      marks: fault ? [{ at: fault.first_seen_us, text: "first seen" }, ...(fault.state === "resolved" && fault.resolved_at_us ? [{ at: fault.resolved_at_us, text: "resolved" }] : [])] : [],
    }),
    h("p.faint", `${altering ? "Altered" : "Lost"}, as a share of what crossed or should have, each ${span(step_us)}.`),
    h("details", { "data-name": "evidence" }, h("summary", "As a table"), table([
      { title: "link", wide: true, cell: (r) => (r.link.endsWith("~") ? h("span", "after ", element(r.link.slice(0, -1)), ", next hop not known") : element(r.link)) },
      { title: "leg", cell: (r) => r.leg },
      { title: "passed", num: true, cell: (r) => count(sum(r.passed)) },
      { title: "lost", num: true, cell: (r) => count(sum(r.lost)) },
      { title: "loss", num: true, cell: (r) => (r.link.endsWith("~") ? "–" : share(sum(r.lost) / Math.max(1, sum(r.lost) + sum(r.passed)))) },
      { title: "altered", num: true, cell: (r) => count(sum(r.altered)) },
      { title: "copies missing", num: true, cell: (r) => count(sum(r.missing)) },
    ], rows.slice(0, ROWS_MOST), { caption: "Evidence by link and leg" })));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Slots put together, so that there are not more points than can be told apart. Pure. */
export function binned({ slot_us, slot_length_us }, series) {
  const whole_us = slot_us.at(-1) - slot_us[0] + slot_length_us;
  const step_us = STEPS_US.find((step) => whole_us / step <= POINTS_MOST) ?? STEPS_US.at(-1);
  const first = Math.floor(slot_us[0] / step_us);
  const bins = Math.floor(slot_us.at(-1) / step_us) - first + 1;
  const place = slot_us.map((us) => Math.floor(us / step_us) - first);
  const put = (values) => {
    const sums = new Array(bins).fill(0);
    values.forEach((value, i) => {
      sums[place[i]] += value;
    });
    return sums;
  };
  return {
    step_us,
    x: Array.from({ length: bins }, (_, i) => (first + i) * step_us),
    series: series.map((one) => ({ ...one, passed: put(one.passed), lost: put(one.lost), altered: put(one.altered) })),
  };
}

function rate(one, i, altering) {
  const all = one.passed[i] + one.lost[i];
  if (!all) return null;
  return (altering ? Math.min(one.altered[i], all) : one.lost[i]) / all;
}
