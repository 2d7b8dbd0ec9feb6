"""The join in plain Python: one probe at a time, dicts and loops, from the design document.

It shares nothing with `streams/` but settings: messages are read by fastavro, rows are dicts, and
everything is decided after the whole log has been read, from the watermark that each row found.
"""

from __future__ import annotations

import io
import ipaddress
import json
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import fastavro

import schemas
from fabric.model import TIER_RANK, Fabric
from schemas.partition import mix64
from streams.settings import JoinSettings
from tests.streams.logs import Log, Message
from tests.streams.plain_flows import PlainFlows
from tests.streams.plain_tables import Alteration, PlainTables, Told, altered_bytes_of

AVSC = Path(schemas.__file__).parent / "avsc"
BEFORE_TIME = -(2**62)
END = 2**62
SILENT_MS, LAG_US, AHEAD_US, EMPTY_RUN_MAX = 10_000, 30_000_000, 20_000_000, 240
VERDICTS = (
    "ok",
    "network_loss",
    "host_silent",
    "corrupted",
    "altered",
    "loop",
    "unexpected_path",
    "unexpected_reply",
    "late_reply",
    "duplicate_reply",
    "unobserved",
)
SCHEMA = [
    fastavro.parse_schema(json.loads((AVSC / topic / "1.avsc").read_text()))
    for topic in ("probe-outcomes", "mirror-digests")
]
FINGERPRINT = [
    bytes.fromhex(
        fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO")
    )
    for schema in SCHEMA
]


class Unreadable(Exception):
    """The reason that a dead letter names."""


def read_plainly(side: int, value: bytes | None) -> dict[str, Any]:
    """A whole message as fastavro reads it, numbers as integers."""
    if value is None:
        raise Unreadable("empty")
    if value[:1] == b"\x00":
        raise Unreadable("no_registry")
    if value[:2] != b"\xc3\x01":
        raise Unreadable("bad_framing")
    if len(value) < 10:
        raise Unreadable("truncated")
    if value[2:10] != FINGERPRINT[side]:
        raise Unreadable("unknown_schema")
    stream = io.BytesIO(value[10:])
    try:
        batch = fastavro.schemaless_reader(stream, SCHEMA[side], None)
    except Exception as error:
        raise Unreadable("undecodable") from error
    if stream.read():
        raise Unreadable("trailing_bytes")
    for row in batch["rows"]:
        for name, number in row.items():
            if name == "content_hash":
                row[name] = int.from_bytes(number, "big")
            elif not isinstance(number, bytes):
                row[name] = int(number)
    return batch


@dataclass
class Cell:
    """Evidence of one link and leg."""

    passed: int = 0
    lost: int = 0
    altered: int = 0
    missing: int = 0
    examples: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class PlainSlot:
    cells: dict[tuple[int, int, int], Cell] = field(default_factory=lambda: defaultdict(Cell))
    verdicts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    pairs: dict[tuple[int, int, int], list[tuple[str, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    tables: PlainTables = field(default_factory=PlainTables)
    digests: int = 0
    late_outcomes: int = 0
    late_digests: int = 0
    duplicates: int = 0
    exporters: dict[int, list[int]] = field(default_factory=dict)
    damaged: dict[int, int] = field(default_factory=lambda: defaultdict(int))


class PlainFabric:
    """Names and cables, looked up one by one."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.links = [(fabric.node(k.from_name), fabric.node(k.to_name)) for k in fabric.links]
        self.cables = set(self.links)
        self.switches = {s.node: s for s in fabric.switches}
        self.owner = {
            address: node
            for nodes in (
                [(a, s.node) for s in fabric.servers for a in s.addresses],
                [(p.address, p.node) for p in fabric.probers],
                [(s.address, s.node) for s in fabric.switches],
            )
            for address, node in nodes
        }
        self.server = {s.node: s for s in fabric.servers}
        self.attached = {p.number: fabric.node(p.switch) for p in fabric.probers}
        self.prober_node = {p.number: p.node for p in fabric.probers}

    def rank(self, node: int) -> int | None:
        return TIER_RANK[self.switches[node].tier] if node in self.switches else None

    def below(self, node: int) -> list[int]:
        return [
            b for a, b in self.links if a == node and b in self.switches and self.rank(b) < self.rank(node)
        ]

    def descends_to(self, node: int, end: int) -> bool:
        return node == end or any(self.descends_to(b, end) for b in self.below(node))

    def after(self, last: int, end: int | None) -> tuple[int, int] | None:
        """The link that a packet seen last at `last` had to take, or "somewhere after `last`"."""
        if last not in self.switches:
            return None
        ways = [b for b in self.below(last) if end is not None and self.descends_to(b, end)]
        return (last, ways[0]) if len(ways) == 1 and last != end else (last, -1)

    def cable(self, a: int | None, b: int | None) -> tuple[int, int] | None:
        return (a, b) if (a, b) in self.cables else None

    def name(self, node: int | None) -> str:
        return "" if node is None or node < 0 else self.fabric.node_name(node)


@dataclass
class Verdict:
    what: str
    place: tuple[int, int] | None
    leg: int
    bad_copies: set[int]
    altered: Alteration | None = None


class PlainJoin:
    """Reads both logs of a partition to their end; then `results` and `evidence` hold what it says."""

    def __init__(self, fabric: Fabric, partition: int, settings: JoinSettings) -> None:
        self.net = PlainFabric(fabric)
        self.partition = partition
        self.settings = settings
        self.flows = PlainFlows(self.net, settings.slot_us, settings.memory_us // settings.slot_us)
        self.sources: dict[tuple[int, str], dict[str, Any]] = {}
        self.log_ms = self.started_ms = -1
        self.sides = [False, False]
        self.watermark = BEFORE_TIME
        self.newest = BEFORE_TIME
        self.outcomes: list[tuple[dict[str, Any], int]] = []
        self.digests: list[tuple[dict[str, Any], int]] = []
        self.packets: dict[tuple[int, int, int, int], bytes] = {}
        self.runs: list[tuple[int, int, list[str]]] = []
        self.complete = BEFORE_TIME
        self.slots: dict[int, PlainSlot] = defaultdict(PlainSlot)
        self.early = PlainSlot()  # what came before any watermark was known
        self.first_watermark: int | None = None
        self.results: list[dict[str, Any]] = []
        self.evidence: dict[int, tuple[dict[str, Any], list[tuple[int, ...]]]] = {}
        self.dead: list[tuple[int, int, str]] = []

    # -- reading ----------------------------------------------------------------------------------

    def read(self, log: Log) -> None:
        queues = [list(log.sides[0]), list(log.sides[1])]
        clock = [-1, -1]
        while queues[0] and queues[1]:
            times = [max(clock[s], queues[s][0].timestamp_ms) for s in (0, 1)]
            side = 0 if times[0] <= times[1] else 1
            clock[side] = times[side]
            self.take_in(queues[side].pop(0), times[side])
        self.decide()

    def take_in(self, message: Message, time_ms: int) -> None:
        side, found = message.side, self.watermark
        self.log_ms = max(self.log_ms, time_ms)
        if self.started_ms < 0:
            self.started_ms = time_ms
        try:
            batch = read_plainly(side, message.value)
            self.check(side, batch, time_ms)
        except Unreadable as error:
            self.dead.append((side, message.offset, str(error)))
        else:
            if batch["source"] != "clock":
                self.take_batch(side, batch, found)
        self.move()

    def check(self, side: int, batch: dict[str, Any], time_ms: int) -> None:
        if batch["source"] == "clock":
            return
        if batch["partition"] != self.partition:
            raise Unreadable("wrong_partition")
        limit = time_ms * 1_000 + AHEAD_US
        if limit < batch["low_watermark_us"] < END:
            raise Unreadable("clock_ahead")

    def take_batch(self, side: int, batch: dict[str, Any], found: int) -> None:
        rows = batch["rows"]
        known = self.sources.get((side, batch["source"]))
        if known and known["epoch"] == batch["epoch"] and batch["sequence"] <= known["sequence"]:
            self.slot_at(found).duplicates += len(rows)
            return
        self.sides[side] = True
        if not known or batch["epoch"] >= known["epoch"]:
            self.sources[side, batch["source"]] = {
                "epoch": batch["epoch"],
                "sequence": batch["sequence"],
                "promise": batch["low_watermark_us"],
                "seen": self.log_ms,
            }
        newest = max((r["sent_at_us" if side == 0 else "observed_at_us"] for r in rows), default=BEFORE_TIME)
        self.newest = max(self.newest, newest)
        if side == 0:
            self.outcomes += [(row, found) for row in rows]
            return
        self.digests += [(row, found) for row in rows]
        for each in batch["altered"]:
            row = rows[each["row"]]
            row["packet"] = each["packet"]
        for each in batch["exporters"]:
            counts = self.slot_at(max(found, newest)).exporters.setdefault(each["switch"], [0, 0])
            counts[0] += each["received"]
            counts[1] += each["lost"]

    def slot_at(self, time_us: int) -> PlainSlot:
        return self.early if time_us <= BEFORE_TIME else self.slots[time_us // self.settings.slot_us]

    def move(self) -> None:
        """The watermark after a message, and the slots that it completes."""
        fresh = {k: s for k, s in self.sources.items() if self.log_ms - s["seen"] <= SILENT_MS}
        settings = self.settings
        live = [
            # A Prober has waited for replies before it promises; a collector has not.
            s["promise"] + (settings.timeout_us if side == 0 else 0)
            for (side, _), s in fresh.items()
            if s["promise"] < END
        ]
        both = all(self.sides) or self.log_ms - self.started_ms > SILENT_MS
        if both and live:
            self.watermark = max(self.watermark, min(p for p in live if p >= max(live) - LAG_US))
        elif both and self.sources and self.newest > BEFORE_TIME:
            everything = (
                self.newest
                + settings.timeout_us
                + settings.settle_us
                + settings.skew_max_us
                + 2 * settings.slot_us
            )
            self.watermark = max(self.watermark, everything)
        if self.watermark <= BEFORE_TIME:
            return
        if self.first_watermark is None:
            self.first_watermark = self.watermark
        last = (self.watermark - settings.closing_us) // settings.slot_us - 1
        if last > self.complete:
            silent = {n for (_, n), s in self.sources.items() if (_, n) not in fresh and s["promise"] < END}
            self.runs.append((self.complete + 1, last, sorted(silent)))
            self.complete = last

    # -- deciding ---------------------------------------------------------------------------------

    def decide(self) -> None:
        if self.first_watermark is not None:
            self.merge_early(self.slots[self.first_watermark // self.settings.slot_us])
        probes = self.closed_probes()
        hops = self.match(probes)
        self.ahead: dict[Any, list[int]] = defaultdict(list)
        order = sorted(probes, key=lambda k: (k[1], k[0]))
        damaging: dict[int, set[int]] = defaultdict(set)  # switches that are known to damage copies, by slot
        for key in order:
            legs, _ = self.legs(hops[key])
            self.flows.learn(probes[key], legs, self.ends(probes[key]))
            damaged = self.alteration(probes[key], legs, self.ends(probes[key]), set())[2]
            damaging[key[1] // self.settings.slot_us] |= {copy["switch"] for copy in damaged}
            self.compare_clocks(probes[key], legs)
        for key in order:
            self.one_probe(probes[key], hops[key], probes, damaging[key[1] // self.settings.slot_us])
        self.publish()

    def compare_clocks(self, probe: dict[str, Any], legs: Any) -> None:
        ends, back = self.ends(probe), legs[2]
        if probe["rtt_ns"] >= 0 and back and back[-1]["switch"] == ends["attached"]:
            had_us = probe["sent_at_us"] + probe["rtt_ns"] // 1_000
            key = ends["prober"], probe["sent_at_us"] // self.settings.slot_us
            self.ahead[key].append(back[-1]["observed_at_us"] - had_us)

    def merge_early(self, slot: PlainSlot) -> None:
        slot.duplicates += self.early.duplicates
        for switch, counts in self.early.exporters.items():
            mine = slot.exporters.setdefault(switch, [0, 0])
            mine[0] += counts[0]
            mine[1] += counts[1]

    def closed_probes(self) -> dict[tuple[int, int], dict[str, Any]]:
        """Closed probes by (probe_id, sent_at_us): those of complete slots. `self.open` still wait."""
        settings = self.settings
        probes: dict[tuple[int, int], dict[str, Any]] = {}
        self.open: dict[tuple[int, int], dict[str, Any]] = {}
        for row, found in self.outcomes:
            key = row["probe_id"], row["sent_at_us"]
            closes = row["sent_at_us"] + settings.closing_us
            if closes <= found:
                self.slots[found // settings.slot_us].late_outcomes += 1
            elif row["sent_at_us"] // settings.slot_us > self.complete:
                self.open[key] = row
            elif key in probes:
                self.slots[row["sent_at_us"] // settings.slot_us].duplicates += 1
            else:
                probes[key] = row
        return probes

    def match(
        self, probes: dict[tuple[int, int], dict[str, Any]]
    ) -> dict[tuple[int, int], list[dict[str, Any]]]:
        settings = self.settings
        sent_of: dict[int, list[int]] = defaultdict(list)
        for probe_id, sent in probes:
            sent_of[probe_id].append(sent)
        hops: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
        for row, found in self.digests:
            for sent in sent_of[row["probe_id"]]:
                after = row["observed_at_us"] - sent
                in_reach = -settings.skew_max_us <= after <= settings.closing_us + settings.skew_max_us
                if in_reach and found < sent + settings.closing_us:
                    hops[row["probe_id"], sent].append(row)
                    break
            else:
                due = max(row["observed_at_us"] + settings.skew_max_us, found)
                self.slots[due // settings.slot_us].late_digests += 1
        return hops

    def legs(self, copies: list[dict[str, Any]]) -> tuple[list[list[dict[str, Any]]], list[dict[str, Any]]]:
        """The copies of each leg in order, and those that came twice."""
        legs: list[list[dict[str, Any]]] = [[], [], []]
        doubled = []
        for copy in copies:
            leg = legs[copy["leg"]]
            if any(c["ttl"] == copy["ttl"] and c["switch"] == copy["switch"] for c in leg):
                doubled.append(copy)
            else:
                leg.append(copy)
        for leg in legs:
            leg.sort(key=lambda c: -c["ttl"])
        return legs, doubled

    def one_probe(
        self,
        probe: dict[str, Any],
        copies: list[dict[str, Any]],
        probes: dict[Any, Any],
        damaging: set[int],
    ) -> None:
        settings = self.settings
        slot = self.slots[probe["sent_at_us"] // settings.slot_us]
        slot.digests += len(copies)
        legs, doubled = self.legs(copies)
        slot.duplicates += len(doubled)
        doubled_replies = sum(copy["leg"] == 2 for copy in doubled)
        ends = self.ends(probe)
        altered, bad, damaged = self.alteration(probe, legs, ends, damaging)
        for copy in damaged:
            slot.damaged[copy["switch"]] += 1
        verdict = self.judge(probe, legs, ends, doubled_replies, probes, altered, bad)
        verdict.altered = altered
        known_silent = ends["target"] in self.net.server and not self.net.server[ends["target"]].answers
        is_lost = verdict.what in ("network_loss", "unobserved") or (
            verdict.what == "host_silent" and not known_silent
        )
        lost = (*verdict.place, verdict.leg) if is_lost and verdict.place and verdict.leg >= 0 else None
        before = self.flows.lost_before(probe, lost)
        again = lost is not None and before == lost
        recovered = before if probe["rtt_ns"] >= 0 else None
        if recovered and recovered[1] < 0:
            following = self.flows.following(probe, recovered[2], recovered[0])
            recovered = (recovered[0], -1 if following is None else following, recovered[2])
        if verdict.what == "network_loss" and verdict.place and verdict.place[1] < 0:
            following = self.flows.following(probe, verdict.leg, verdict.place[0])
            verdict.place = (verdict.place[0], -1 if following is None else following)
        slot.verdicts[verdict.what] += 1
        origin = ends["via"] if probe["kind"] == 1 else ends["attached"]
        if origin is not None and ends["tor"] is not None:
            slot.pairs[probe["kind"], origin, ends["tor"]].append((verdict.what, probe["rtt_ns"]))
        self.count(slot, probe, legs, ends, verdict)
        odd = self.loop(legs) is not None or any(self.is_odd(hops) for hops in legs)
        told = Told(
            probe,
            legs,
            ends,
            verdict.what,
            verdict.place,
            verdict.leg,
            altered,
            mirrors=settings.mirrors,
            group_lost=self.group_is_lost(probe, probes),
            fresh=self.flows.fresh(probe, legs, ends),
            again=again,
            recovered=recovered,
            odd=odd,
        )
        slot.tables.add(self.net, told)
        if verdict.what != "ok" or self.sampled(probe):
            self.results.append(self.record(probe, legs, ends, verdict, altered_bytes_of(told)))

    def sampled(self, probe: dict[str, Any]) -> bool:
        import numpy as np

        sent = mix64(np.array([probe["sent_at_us"]], np.uint64))
        return (
            int(mix64(np.array([probe["probe_id"]], np.uint64) ^ sent)[0]) % self.settings.sample_one_in == 0
        )

    def ends(self, probe: dict[str, Any]) -> dict[str, int | None]:
        net = self.net
        number = probe["probe_id"] >> 32
        target = net.owner.get(address(probe["target"]))
        if target in net.server:
            tor = net.fabric.node(net.server[target].tor)
        else:
            tor = net.attached.get(target - 200_000_000) if target is not None else None
        return {
            "prober": net.prober_node.get(number),
            "attached": net.attached.get(number),
            "target": target,
            "tor": tor,
            "via": net.owner.get(address(probe["via"])),
        }

    def judge(  # noqa: PLR0911, PLR0912 - one rule after the other, as the design has them
        self,
        probe: dict[str, Any],
        legs: Any,
        ends: Any,
        doubled_replies: int,
        probes: Any,
        altered: Alteration | None,
        bad: set[int],
    ) -> Verdict:
        net, settings = self.net, self.settings
        encapsulated, out, back = legs
        replied = probe["rtt_ns"] >= 0
        place, leg = (altered.place, altered.leg) if altered else (None, -1)
        loop = self.loop(legs)
        odd = loop is not None or any(self.is_odd(hops) for hops in legs)
        if replied:
            what = "ok"
            if probe["reply_kind"] != 1:
                what = "unexpected_reply"
            elif altered:
                what = "altered"
            elif odd:
                what = "unexpected_path"
            elif doubled_replies >= 2:
                what = "duplicate_reply"
            return Verdict(what, place, leg, bad)
        if loop is not None:
            return Verdict("loop", (loop[0], -1) if loop[0] in net.switches else None, loop[1], bad)
        complete = bool(back) and back[-1]["switch"] == ends["attached"]
        reached = bool(out) and out[-1]["switch"] == ends["tor"]
        at_via = bool(encapsulated) and encapsulated[-1]["switch"] == ends["via"]
        last_leg = 2 if back else 1 if out else 0
        arrived = (at_via, reached, complete)[last_leg]
        if legs[last_leg] and not arrived and legs[last_leg][-1]["ttl"] <= 1:
            last = legs[last_leg][-1]["switch"]
            return Verdict("loop", (last, -1) if last in net.switches else None, last_leg, bad)
        if altered and ((leg == 2 and complete) or (leg < 2 and reached and not back)):
            return Verdict("corrupted", place, leg, bad)
        if complete:
            ahead = sorted(self.ahead[ends["prober"], probe["sent_at_us"] // settings.slot_us]) or [0]
            after_us = back[-1]["observed_at_us"] - ahead[(len(ahead) - 1) // 2] - probe["sent_at_us"]
            if after_us > settings.timeout_us:
                return Verdict("late_reply", None, -1, bad)
            return Verdict("network_loss", net.cable(ends["attached"], ends["prober"]), 2, bad)
        if back:
            return Verdict("network_loss", net.after(back[-1]["switch"], ends["attached"]), 2, bad)
        if reached:
            return Verdict("host_silent", net.cable(ends["tor"], ends["target"]), 1, bad)
        if out:
            return Verdict("network_loss", net.after(out[-1]["switch"], ends["tor"]), 1, bad)
        if encapsulated:
            last = encapsulated[-1]["switch"]
            if last == ends["via"]:
                return Verdict("network_loss", net.after(last, ends["tor"]), 1, bad)
            return Verdict("network_loss", net.after(last, ends["via"]), 0, bad)
        if not settings.mirrors:
            all_lost = self.group_is_lost(probe, probes)
            return Verdict("host_silent" if all_lost else "network_loss", None, -1, bad)
        uplink = net.cable(ends["prober"], ends["attached"])
        return Verdict("unobserved", uplink, 0 if any(probe["via"]) else 1, bad)

    def group_is_lost(self, probe: dict[str, Any], probes: Any) -> bool:
        """Whether all members of its group are known, and none of them was answered."""
        first = probe["probe_id"] & ~7
        group = [probes.get((first + member, probe["sent_at_us"])) for member in range(8)]
        known = [p for p in group if p is not None]
        return len(known) == probe["group_size"] and all(p["rtt_ns"] < 0 for p in known)

    def is_odd(self, hops: list[dict[str, Any]]) -> bool:
        net = self.net
        descended = False
        for a, b in pairwise(hops):
            ranks = net.rank(a["switch"]), net.rank(b["switch"])
            if a["ttl"] - b["ttl"] == 1 and not net.cable(a["switch"], b["switch"]):
                return True
            if None in ranks:
                continue
            if ranks[1] > ranks[0] and descended:
                return True
            descended = descended or ranks[1] < ranks[0]
        return any(h["switch"] in net.switches and net.switches[h["switch"]].drained for h in hops)

    def loop(self, legs: Any) -> tuple[int, int] | None:
        """The switch and leg of the last hop that was passed more than once."""
        found = None
        for leg, hops in enumerate(legs):
            switches = [h["switch"] for h in hops]
            for switch in switches:
                if switches.count(switch) > 1:
                    found = switch, leg
        return found

    def alteration(
        self, probe: dict[str, Any], legs: Any, ends: Any, damaging: set[int]
    ) -> tuple[Alteration | None, set[int], list[dict[str, Any]]]:
        """The alteration, if there is one, the identities of the copies that differ, and the copies that
        do although the packet was as it should be. `damaging`: switches that do that to copies."""
        bad_copies: set[int] = set()
        damaged: list[dict[str, Any]] = []
        replied = probe["rtt_ns"] >= 0
        found = None
        for way, as_sent, sender in (
            (legs[2], None, ends["target"]),
            (legs[0] + legs[1], probe["content_hash"], ends["prober"]),
        ):
            whole = [c for c in way if not c["flags"] & 1]
            good = [c for c in whole if not c["flags"] & 6]
            reference = as_sent
            if as_sent is None and good:
                reference = good[0]["content_hash"]
            bad = [c for c in whole if c["flags"] & 6 or c["content_hash"] != reference]
            bad_copies |= {id(c) for c in bad}
            tail: list[dict[str, Any]] = []
            for copy in reversed(whole):
                if id(copy) not in bad_copies:
                    break
                tail.insert(0, copy)
            damaged += [copy for copy in bad if not any(copy is t for t in tail)]
            if not tail:
                continue
            first = tail[0]
            if len(tail) == 1 and first is way[-1]:
                # The kernel took the packet, so the copy was wrong and not the packet.
                taken = way is not legs[2] and replied and first["flags"] & 2
                if taken or first["switch"] in damaging:
                    damaged.append(first)
                    continue
            before = [c for c in whole if id(c) not in bad_copies]
            if before:
                last = before[-1]["switch"]
                place = self.net.cable(last, first["switch"])
                if place is None and last in self.net.switches:
                    place = (last, -1)
            else:
                place = self.net.cable(sender, first["switch"])
            found = Alteration(place, first["leg"], before[-1] if before else None, tail)
        return found, bad_copies, damaged

    def count(  # noqa: PLR0912
        self, slot: PlainSlot, probe: dict[str, Any], legs: Any, ends: Any, verdict: Verdict
    ) -> None:
        net = self.net
        encapsulated, out, back = legs
        replied = probe["rtt_ns"] >= 0
        answered = replied or bool(back)

        def note(what: str, a: int | None, b: int | None, leg: int) -> None:
            if net.cable(a, b):
                cell = slot.cells[a, b, leg]
                setattr(cell, what, getattr(cell, what) + 1)

        for leg, hops in enumerate(legs):
            for a, b in pairwise(hops):
                near, far = a["switch"], b["switch"]
                note("passed", near, far, leg)
                if not net.cable(near, far) and a["ttl"] - b["ttl"] == 2:
                    middle = [m for m in net.switches if net.cable(near, m) and net.cable(m, far)]
                    if len(middle) == 1:
                        note("passed", near, middle[0], leg)
                        note("passed", middle[0], far, leg)
                        note("missing", near, middle[0], leg)
        if encapsulated:
            if encapsulated[0]["switch"] == ends["attached"]:
                note("passed", ends["prober"], ends["attached"], 0)
        elif out and out[0]["switch"] == ends["attached"]:
            note("passed", ends["prober"], ends["attached"], 1)
        if encapsulated and out and encapsulated[-1]["switch"] == ends["via"]:
            note("passed", ends["via"], out[0]["switch"], 1)
        if answered:
            note("passed", ends["tor"], ends["target"], 1)
            note("passed", ends["target"], ends["tor"], 2)
            if out and out[-1]["switch"] != ends["tor"]:
                note("passed", out[-1]["switch"], ends["tor"], 1)
                note("missing", out[-1]["switch"], ends["tor"], 1)
            if back and back[0]["switch"] != ends["tor"]:
                note("missing", ends["target"], ends["tor"], 2)
        if replied:
            note("passed", ends["attached"], ends["prober"], 2)
            if back and back[-1]["switch"] != ends["attached"]:
                note("passed", back[-1]["switch"], ends["attached"], 2)
                note("missing", back[-1]["switch"], ends["attached"], 2)
        if verdict.altered and verdict.altered.place:
            # Whatever became of it afterwards.
            cell = slot.cells[*verdict.altered.place, verdict.altered.leg]
            cell.altered += 1
            what = verdict.what if verdict.what in ("altered", "corrupted") else "altered"
            cell.examples[VERDICTS.index(what)].append((probe["sent_at_us"], probe["probe_id"]))
        if verdict.place is None or verdict.leg < 0:
            return
        known_silent = ends["target"] in net.server and not net.server[ends["target"]].answers
        if verdict.what in ("network_loss", "unobserved") or (
            verdict.what == "host_silent" and not known_silent
        ):
            cell = slot.cells[*verdict.place, verdict.leg]
            cell.lost += 1
            cell.examples[VERDICTS.index(verdict.what)].append((probe["sent_at_us"], probe["probe_id"]))

    def record(
        self,
        probe: dict[str, Any],
        legs: Any,
        ends: Any,
        verdict: Verdict,
        alterations: list[dict[str, int]],
    ) -> dict[str, Any]:
        """The result without its `reason`, which is prose."""
        net = self.net
        last, following = verdict.place or (None, None)
        names = ("encapsulated", "probe", "reply")
        kind = ("north_south", "east_west", "inter_prober")[probe["kind"]]
        return {
            "probe_id": probe["probe_id"],
            "sent_at_us": probe["sent_at_us"],
            "kind": kind,
            "verdict": verdict.what,
            "sampled": verdict.what == "ok",
            "prober": net.name(ends["prober"]),
            "target": net.name(ends["target"]) or address(probe["target"]),
            "target_address": address(probe["target"]),
            "via": net.name(ends["via"]),
            "source_port": probe["source_port"],
            "destination_port": probe["destination_port"],
            "rtt_ns": probe["rtt_ns"] if probe["rtt_ns"] >= 0 else None,
            "reply_kind": ("none", "rst", "syn_ack", "icmp")[probe["reply_kind"]],
            "reply_ttl": probe["reply_ttl"] if probe["reply_ttl"] >= 0 else None,
            "last_seen": net.name(last),
            "next_node": net.name(following),
            "fault_leg": names[verdict.leg] if verdict.leg >= 0 else None,
            "hops": [
                {
                    "leg": names[hop["leg"]],
                    "switch": net.name(hop["switch"]),
                    "port": hop["port"],
                    "ttl": hop["ttl"],
                    "observed_at_us": hop["observed_at_us"],
                    "altered": id(hop) in verdict.bad_copies,
                    "content_hash": hop["content_hash"].to_bytes(8, "big"),
                }
                for hops in legs
                for hop in hops
            ],
            "alterations": alterations,
        }

    # -- publishing -------------------------------------------------------------------------------

    def publish(self) -> None:
        filled = set(self.slots)
        for first, last, silent in self.runs:
            if last - first < EMPTY_RUN_MAX:
                due = range(first, last + 1)
            else:
                due = sorted({s for s in filled if first <= s <= last} | {last})
            for number in due:
                self.evidence[number] = self.slot_evidence(number, silent)

    def slot_evidence(self, number: int, silent: list[str]) -> tuple[dict[str, Any], list[tuple[int, ...]]]:
        settings, slot = self.settings, self.slots.get(number, PlainSlot())
        order = self.net.links + [(s, -1) for s in self.net.switches]
        cells = sorted(slot.cells.items(), key=lambda c: (order.index(c[0][:2]), c[0][2]))
        examples = [
            {
                "from_node": a,
                "to_node": b,
                "leg": leg,
                "verdict": VERDICTS[verdict],
                "probe_id": probe_id,
                "sent_at_us": sent,
            }
            for (a, b, leg), cell in cells
            for verdict, kept in sorted(cell.examples.items())
            for sent, probe_id in sorted(kept)[:3]
        ]
        pairs = []
        for pair, fates in sorted(slot.pairs.items()):
            verdicts = [what for what, _ in fates]
            rtts = [rtt for _, rtt in fates if rtt >= 0]
            lost = verdicts.count("network_loss") + verdicts.count("loop")
            altered = verdicts.count("altered") + verdicts.count("corrupted")
            counts = len(fates), len(rtts), lost, verdicts.count("host_silent"), altered
            pairs.append((*pair, *counts, sum(rtts), max(rtts, default=0)))
        head = {
            "partition": self.partition,
            "slot_us": number * settings.slot_us,
            "slot_length_us": settings.slot_us,
            "watermark_us": (number + 1) * settings.slot_us + settings.closing_us,
            "probes": sum(slot.verdicts.values()),
            "digests": slot.digests,
            "verdicts": dict(slot.verdicts),
            "late_outcomes": slot.late_outcomes,
            "late_digests": slot.late_digests,
            "duplicates": slot.duplicates,
            "silent_sources": silent,
            "exporters": [
                {"switch": s, "received": r, "lost": k, "damaged": slot.damaged.get(s, 0)}
                for s in sorted({*slot.exporters, *slot.damaged})
                for r, k in [slot.exporters.get(s, (0, 0))]
            ],
            "examples": examples[:300],
            "commands": [],
            "pairs": pairs,
            **slot.tables.rows(self.net),
        }
        return head, [(a, b, leg, c.passed, c.lost, c.altered, c.missing) for (a, b, leg), c in cells]


def address(packed: bytes) -> str:
    number = ipaddress.IPv6Address(packed)
    return str(number.ipv4_mapped or number)
