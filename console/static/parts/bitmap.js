/**
 * Altered bits as a map: one row per byte of the packet, one column per bit, 7 the greatest.
 *
 * What became 1 is a triangle that points up, what became 0 one that points down; both: a diamond. How often is
 * how dark. Bytes in which nothing was altered are left out, and a gap says so.
 */

import { h, s } from "../core/dom.js";
import { count } from "../core/format.js";

const SHAPES = { up: "M9 3 L15 14 H3 Z", down: "M9 15 L15 4 H3 Z", both: "M9 2 L16 9 L9 16 L2 9 Z" };

/** Where a byte of an IPv4 packet with a TCP SYN is. Source: RFC 791, RFC 9293; 512 bytes of payload follow. */
export function fieldOf(offset) {
  const fields = [
    [2, "IP: version, service"], [4, "IP: length"], [6, "IP: identification"], [8, "IP: fragment"], [9, "IP: TTL"],
    [10, "IP: protocol"], [12, "IP: checksum"], [16, "IP: source"], [20, "IP: destination"], [22, "TCP: source port"],
    [24, "TCP: destination port"], [28, "TCP: sequence"], [32, "TCP: acknowledgement"], [34, "TCP: flags"],
    [36, "TCP: window"], [38, "TCP: checksum"], [40, "TCP: urgent"],
  ];
  return fields.find(([end]) => offset < end)?.[1] ?? "payload";
}

/** `bits`: [{byte_offset, bit, to_one, to_zero}]. */
export function bitmap(bits) {
  const byOffset = new Map();
  for (const one of bits) {
    if (!byOffset.has(one.byte_offset)) byOffset.set(one.byte_offset, new Map());
    const known = byOffset.get(one.byte_offset).get(one.bit) ?? { to_one: 0, to_zero: 0 };
    byOffset.get(one.byte_offset).set(one.bit, { to_one: known.to_one + one.to_one, to_zero: known.to_zero + one.to_zero });
  }
  const most = Math.max(1, ...bits.map((one) => one.to_one + one.to_zero));
  const offsets = [...byOffset.keys()].sort((x, y) => x - y);
  const columns = [7, 6, 5, 4, 3, 2, 1, 0];
  return h("div.bitmap",
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Altered bits by byte and bit" },
      h("table", h("caption.unseen", "Altered bits: how often each bit of each byte became 1 or 0"),
        h("thead", h("tr", h("th", { scope: "col" }, "byte"), columns.map((b) => h("th.bit", { scope: "col" }, `bit ${b}`)),
          h("th", { scope: "col" }, "field"))),
        h("tbody", offsets.map((offset, k) => [
          k > 0 && offset > offsets[k - 1] + 1 && h("tr.gap", h("td", { colspan: 10 }, "⋮")),
          h("tr", h("th.num", { scope: "row" }, offset), columns.map((b) => cell(byOffset.get(offset).get(b), most)),
            h("td.faint", fieldOf(offset))),
        ])))),
    h("ul.legend", [["up", "became 1"], ["down", "became 0"], ["both", "both"]].map(([shape, text]) => h("li", mark(shape, 1), text))));
}

function cell(found, most) {
  if (!found) return h("td.bit");
  const shape = found.to_one && found.to_zero ? "both" : found.to_one ? "up" : "down";
  const text = [found.to_one && `${count(found.to_one)} times 0 to 1`, found.to_zero && `${count(found.to_zero)} times 1 to 0`]
    .filter(Boolean).join(", ");
  return h("td.bit", { title: text }, mark(shape, (found.to_one + found.to_zero) / most), h("span.unseen", text));
}

function mark(shape, strength) {
  return s(`svg.bitmark.${shape}`, { viewBox: "0 0 18 18", "aria-hidden": "true" },
    s("path", { d: SHAPES[shape], style: { opacity: String(0.35 + 0.65 * Math.sqrt(strength)) } }));
}
