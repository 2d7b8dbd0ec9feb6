/** Numbers and times as people read them. Pure; times are us since 1970, UTC. */

const THIN = "\u202f";

/** 1234567 -> "1 234 567" with narrow spaces. */
export function count(value) {
  if (value === null || value === undefined) return "–";
  return String(Math.round(Number(value))).replace(/\B(?=(\d{3})+$)/g, THIN);
}

/** Three significant digits at most, with k, M, G: 12345 -> "12.3 k". */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit * 0.9995) return `${digits(value / unit)}${THIN}${letter}`;
  }
  return digits(value);
}

function digits(value) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 100) return String(Math.round(value));
  if (size >= 10) return trimmed(value, 1);
  if (size >= 1) return trimmed(value, 2);
  return String(Number(value.toPrecision(2)));
}

const trimmed = (value, places) => String(Number(value.toFixed(places)));

/** A share: 0.3 -> "30 %", 0.00012 -> "0.012 %". */
export function share(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return `0${THIN}%`;
  const percent = value * 100;
  if (value < 1 && percent >= 99.95) return `>${THIN}99.9${THIN}%`;
  if (percent >= 10) return `${trimmed(percent, 1)}${THIN}%`;
  return `${Number(percent.toPrecision(2))}${THIN}%`;
}

/** us -> "12 µs", "1.2 ms", "3.4 s". */
export function duration(us) {
  if (us === null || us === undefined || Number.isNaN(us)) return "–";
  const size = Math.abs(us);
  if (size < 1e3) return `${digits(us)}${THIN}µs`;
  if (size < 1e6) return `${digits(us / 1e3)}${THIN}ms`;
  if (size < 60e6) return `${digits(us / 1e6)}${THIN}s`;
  return span(us);
}

/** A long duration in its two greatest units: "3 min 5 s", "2 d 4 h". */
export function span(us) {
  let rest = Math.max(0, Math.round(us / 1e6));
  const parts = [];
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    const many = Math.floor(rest / size);
    rest -= many * size;
    if (many || (unit === "s" && !parts.length)) parts.push(`${many}${THIN}${unit}`);
    else if (parts.length) parts.push(null);
    if (parts.length === 2) break;
  }
  return parts.filter(Boolean).join(" ");
}

/** "12 s ago", "in 3 min"; one unit, because it changes while one reads. */
export function ago(us, now_us) {
  const seconds = Math.round((now_us - us) / 1e6);
  const size = Math.abs(seconds);
  if (size < 1) return "now";
  const [many, unit] =
    size < 120 ? [size, "s"]
    : size < 7200 ? [Math.floor(size / 60), "min"]
    : size < 172800 ? [Math.floor(size / 3600), "h"]
    : [Math.floor(size / 86400), "d"];
  return seconds > 0 ? `${many}${THIN}${unit} ago` : `in ${many}${THIN}${unit}`;
}

const pad = (value, width = 2) => String(value).padStart(width, "0");

/** "2026-03-01 10:42:07"; with `places` 3 or 6 also the fraction. */
export function moment(us, places = 0) {
  return `${day(us)} ${clock(us, places)}`;
}

export function day(us) {
  const at = new Date(us / 1e3);
  return `${at.getUTCFullYear()}-${pad(at.getUTCMonth() + 1)}-${pad(at.getUTCDate())}`;
}

export function clock(us, places = 0) {
  const at = new Date(us / 1e3);
  const whole = `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}:${pad(at.getUTCSeconds())}`;
  if (!places) return whole;
  const fraction = pad(((us % 1e6) + 1e6) % 1e6, 6).slice(0, places);
  return `${whole}.${fraction}`;
}

/** What a person types as a time, in UTC -> us, or null: "2026-03-01 10:42", "10:42:07" (of the day of now). */
export function readMoment(text, now_us) {
  const found = /^\s*(?:(\d{4})-(\d{2})-(\d{2})[T ])?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?\s*Z?\s*$/.exec(text);
  if (!found) return null;
  const [, year, month, date, hour, minute, second = "0", fraction = ""] = found;
  const today = new Date(now_us / 1e3);
  const at = Date.UTC(
    year ? Number(year) : today.getUTCFullYear(),
    month ? Number(month) - 1 : today.getUTCMonth(),
    date ? Number(date) : today.getUTCDate(),
    Number(hour), Number(minute), Number(second),
  );
  return at * 1e3 + Number(fraction.padEnd(6, "0"));
}

/** network_loss -> "network loss". */
export const words = (name) => String(name ?? "").replaceAll("_", " ");

/** "1 switch", "2 switches". */
export function many(number, one, more = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : more}`;
}
