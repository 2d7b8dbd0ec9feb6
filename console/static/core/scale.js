/** From a number to a class of colour or a place on an axis. Pure. */

/** Loss has five classes, on a logarithmic scale; 0 is none. */
export const LOSS_STEPS = [0, 1e-4, 1e-3, 1e-2, 1e-1];
export const LOSS_LABELS = ["none", "< 0.1 %", "0.1 to 1 %", "1 to 10 %", "> 10 %"];

/** 0 (none) to 4 (more than 10 %). */
export function lossClass(loss) {
  if (!(loss > 0)) return 0;
  if (loss < 1e-3) return 1;
  if (loss < 1e-2) return 2;
  return loss < 1e-1 ? 3 : 4;
}

/** 0 to 4 by fifths of a range that is given by its ends, logarithmic where it spans more than a decade. */
export function rangeClass(value, low, high) {
  if (value === null || value === undefined) return -1;
  if (!(high > low)) return 0;
  const log = low > 0 && high / low > 10;
  const at = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  return Math.max(0, Math.min(4, Math.floor(at * 5)));
}

/** Ends of the five classes of rangeClass: six numbers. */
export function rangeEnds(low, high) {
  const log = low > 0 && high / low > 10;
  return [0, 1, 2, 3, 4, 5].map((i) => (log ? low * (high / low) ** (i / 5) : low + ((high - low) * i) / 5));
}

/** About `wanted` round numbers from low to high, for an axis. */
export function ticks(low, high, wanted = 5) {
  if (!(high > low)) return [low];
  const raw = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999);
  const made = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) made.push(Number((i * step).toPrecision(12)));
  return made;
}

const TIME_STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

/** Round moments between two, us. */
export function timeTicks(from_us, to_us, wanted = 6) {
  const step = 1e6 * (TIME_STEPS_S.find((s) => (to_us - from_us) / (s * 1e6) <= wanted) ?? TIME_STEPS_S.at(-1));
  const made = [];
  for (let at = Math.ceil(from_us / step) * step; at <= to_us; at += step) made.push(at);
  return made;
}

/** A function from [from, to] to [low, high]. */
export function linear([from, to], [low, high]) {
  const slope = to === from ? 0 : (high - low) / (to - from);
  return (value) => low + (value - from) * slope;
}
