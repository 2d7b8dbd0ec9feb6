/** Small drawings. A status always has a shape of its own, so that colour is never all there is. */

import { s } from "../core/dom.js";

const SHAPES = {
  critical: ["M8 1.2 L15 14.2 H1 Z", "M8 5.6 V9.8 M8 11.4 V12.9"],
  warning: ["M8 1 L15 8 L8 15 L1 8 Z", "M8 4.6 V8.8 M8 10.2 V11.6"],
  info: ["M8 1.4 A6.6 6.6 0 1 0 8 14.6 A6.6 6.6 0 1 0 8 1.4", "M8 7.2 V11.6 M8 4.4 V5.8"],
  fine: ["", "M2.5 8.6 L6.3 12.3 L13.5 4"],
  silenced: ["M1.5 1.5 H14.5 V14.5 H1.5 Z", "M5 5 L11 11 M11 5 L5 11"],
  missing: ["", "M3 3 L13 13 M13 3 L3 13"],
};

const LINES = {
  search: "M7 2 A5 5 0 1 0 7 12 A5 5 0 1 0 7 2 M10.7 10.7 L14.5 14.5",
  sun: "M8 5 A3 3 0 1 0 8 11 A3 3 0 1 0 8 5 M8 1 V2.6 M8 13.4 V15 M1 8 H2.6 M13.4 8 H15 M3 3 L4.2 4.2 M11.8 11.8 L13 13 M13 3 L11.8 4.2 M4.2 11.8 L3 13",
  moon: "M13 10.2 A6 6 0 1 1 6.4 2.4 A4.8 4.8 0 0 0 13 10.2 Z",
  auto: "M8 1.8 A6.2 6.2 0 1 0 8 14.2 A6.2 6.2 0 1 0 8 1.8 M8 1.8 V14.2 M8 5 H11.8 M8 8 H13 M8 11 H11.8",
  close: "M3.5 3.5 L12.5 12.5 M12.5 3.5 L3.5 12.5",
  plus: "M8 3 V13 M3 8 H13",
  minus: "M3 8 H13",
  fit: "M2 6 V2 H6 M10 2 H14 V6 M14 10 V14 H10 M6 14 H2 V10",
  arrow: "M2.5 8 H13 M9 4 L13 8 L9 12",
};

/** An icon of a status, filled with its colour. Pass `label` where no word stands beside it. */
export function statusIcon(name, label = "") {
  const [body, mark] = SHAPES[name] ?? SHAPES.info;
  return s(
    `svg.icon.status-${name}`,
    { viewBox: "0 0 16 16", ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }) },
    body && s("path.body", { d: body }),
    s("path.mark", { d: mark }),
  );
}

export function lineIcon(name) {
  return s("svg.icon.line", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: LINES[name] }));
}
