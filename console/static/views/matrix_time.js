/** The time slider: which stretch is looked at, over a strip that shows when probes were lost. */

import { h, s } from "../core/dom.js";
import { clock, moment, span as spanText } from "../core/format.js";

const MINUTE_US = 60e6;
const H = 34;

export function timeSlider(pick) {
  const strip = s("svg.strip", { "aria-hidden": "true", preserveAspectRatio: "none" });
  const input = h("input", { type: "range", "aria-label": "End of the time that is looked at", step: 1 });
  const told = h("output.num");
  const follow = h("button", { type: "button", onclick: () => pick(null) }, "Now");
  const ends = h("div.ends.num", h("span"), h("span"));
  let minutes = { from_us: 0, to_us: 0, minutes: [] };
  let shown = { until_us: null, present_us: 0, window_us: 5 * MINUTE_US };
  const last = () => Math.max(1, Math.round((minutes.to_us - minutes.from_us) / MINUTE_US));
  const place = (us) => Math.round((us - minutes.from_us) / MINUTE_US);

  const draw = () => {
    const n = last();
    input.min = 0;
    input.max = n;
    if (document.activeElement !== input || shown.until_us === null) input.value = shown.until_us === null ? n : place(shown.until_us);
    follow.setAttribute("aria-pressed", String(shown.until_us === null));
    const until = shown.until_us ?? shown.present_us;
    told.textContent = `${moment(until - shown.window_us)} to ${clock(until)} UTC${shown.until_us === null ? ", following" : ""}`;
    input.setAttribute("aria-valuetext", told.textContent);
    ends.children[0].textContent = minutes.from_us ? clock(minutes.from_us) : "";
    ends.children[1].textContent = minutes.to_us ? `${clock(minutes.to_us)}, ${spanText(minutes.to_us - minutes.from_us)}` : "";
    strip.setAttribute("viewBox", `0 0 ${n} ${H}`);
    const rates = minutes.minutes.map((m) => (m.probes ? m.lost / m.probes : 0));
    const most = Math.max(1e-4, ...rates);
    const start = Math.max(0, (until - shown.window_us - minutes.from_us) / MINUTE_US);
    strip.replaceChildren(
      s("rect.window", { x: start, width: Math.max(0, Math.min(n, (until - minutes.from_us) / MINUTE_US) - start), y: 0, height: H }),
      ...minutes.minutes.flatMap((m, i) => {
        const high = Math.max(rates[i] > 0 ? 3 : 0, (rates[i] / most) * (H - 4));
        return [
          m.probes > 0 && s("rect.probed", { x: place(m.minute_us), width: 0.9, y: H - 2, height: 2 }),
          high > 0 && s("rect.lost", { x: place(m.minute_us), width: 0.9, y: H - 2 - high, height: high }),
        ].filter(Boolean);
      }));
  };
  input.addEventListener("input", () => {
    const to = Number(input.value);
    pick(to >= last() ? null : Math.round(minutes.from_us + to * MINUTE_US));
  });
  return {
    element: h("div.timeslider.card", h("div.line", h("span.label", "Time"), told, follow, h("span.faint", "bars: share of probes lost, by minute")), h("div.track", strip, input), ends),
    show(next) {
      shown = next;
      draw();
    },
    span(told_) {
      minutes = told_;
      draw();
    },
  };
}
