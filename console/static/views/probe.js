/** One probe, hop by hop: there and back, with TTLs and times, what changed, and where it stopped. */

import { get, named } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { duration, words } from "../core/format.js";
import { href } from "../core/router.js";
import { card, facts, into, table } from "../parts/blocks.js";
import { element as elementLink, verdict, whenFully } from "../parts/text.js";
import { path } from "./probe_path.js";

export function open({ route, signal }) {
  const body = h("div.page");
  const id = route.path[1] ?? "";
  into(body, get(named("probes", id), { sent_at_us: route.query.sent_at_us }, signal), (probe) => fill(body,
    h("div.head", h("h1", "Probe ", h("span.mono", probe.probe_id)), verdict(probe.verdict)),
    h("p.reason", probe.reason),
    card(null, facts([
      ["sent", whenFully(probe.sent_at_us, 6)],
      ["kind", words(probe.kind)],
      ["from", elementLink(probe.prober)],
      ["to", h("span", elementLink(probe.target), probe.target_address && probe.target_address !== probe.target && h("span.faint", ` ${probe.target_address}`))],
      probe.via && ["via", elementLink(probe.via)],
      ["ports", h("span.num", `${probe.source_port} → ${probe.destination_port}`)],
      ["round trip", probe.rtt_us === null ? "no reply" : duration(probe.rtt_us)],
      ["reply", replyText(probe)],
      ["other probes", h("a", { href: href(["probes"], { server: probe.target }) }, "of this server")],
    ])),
    h("section.card", path(probe)),
    probe.alterations?.length > 0 && card("Altered bytes", table([
      { title: "byte of the packet", num: true, cell: (a) => a.byte_offset },
      { title: "sent", num: true, cell: (a) => bits(a.sent) },
      { title: "seen", num: true, cell: (a) => bits(a.seen) },
      { title: "bits that differ", wide: true, cell: (a) => bits(a.xor_mask) },
    ], probe.alterations, { caption: "Altered bytes" }))));
  return { element: body, title: `Probe ${id}` };
}

function replyText(probe) {
  if (probe.reply_kind === "none") return "none";
  return probe.reply_ttl === null ? words(probe.reply_kind) : `${words(probe.reply_kind)}, TTL ${probe.reply_ttl}`;
}

const bits = (value) => h("span.mono", `${(value & 255).toString(2).padStart(8, "0")} (0x${(value & 255).toString(16).padStart(2, "0")})`);
