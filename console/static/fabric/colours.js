/** The style sheet's colours, for the canvas; read again when the theme changes. */

const NAMES = [
  "page", "surface", "block", "block-line", "cell", "cell-line", "text", "text-soft", "link", "link-faint", "accent",
  "fine", "silenced", "info", "warning", "critical", "silenced-soft", "info-soft", "warning-soft", "critical-soft",
  "loss-1", "loss-2", "loss-3", "loss-4", "altered", "chip",
];

export function readColours(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
