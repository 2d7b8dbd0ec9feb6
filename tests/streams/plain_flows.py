"""Where flows went, in plain Python: a dict of everything that was ever seen, asked for a stretch of time."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np

from schemas.partition import mix64
from streams.ways import _WORD_KEYS

Flow = tuple[int, bytes, bytes, int, int]
Ends = dict[str, int | None]


class PlainFlows:
    """`slots`: how many slots before the one of a probe are looked at, besides that one."""

    def __init__(self, net: Any, slot_us: int, slots: int) -> None:
        self.net, self.slot_us, self.slots = net, slot_us, slots
        #: By flow, leg and switch: slots in which it was seen to leave the switch, and for where.
        self.left: dict[tuple[Flow, int, int], list[tuple[int, int]]] = defaultdict(list)
        #: By flow and leg: slots in which it was seen whole, and the switches that it passed.
        self.ways: dict[tuple[Flow, int], list[tuple[int, list[int]]]] = defaultdict(list)
        #: By flow: slots of its probes in the order of sending, and where each was lost, if it was.
        self.fates: dict[Flow, list[tuple[int, tuple[int, int, int] | None]]] = defaultdict(list)

    def learn(self, probe: dict[str, Any], legs: list[list[dict[str, Any]]], ends: Ends) -> None:
        slot = probe["sent_at_us"] // self.slot_us
        for leg, hops in enumerate(legs):
            for near, far in pairwise(hops):
                for a, b in self.between(near, far):
                    self.left[flow(probe), leg, a].append((slot, b))
            way = self.whole_way(leg, hops, ends)
            if way is not None:
                self.ways[flow(probe), leg].append((slot, way))
        encapsulated, out, _ = legs
        if encapsulated and out and encapsulated[-1]["switch"] == ends["via"]:
            via, following = encapsulated[-1]["switch"], out[0]["switch"]
            if self.net.cable(via, following):
                self.left[flow(probe), 1, via].append((slot, following))

    def whole_way(self, leg: int, hops: list[dict[str, Any]], ends: Ends) -> list[int] | None:
        """Switches of a leg of which no hop is missing, from its first switch to its last."""
        first = ends["tor" if leg == 2 else "attached"]
        last = ends[("via", "tor", "attached")[leg]]
        way = [hop["switch"] for hop in hops]
        if not way or way[-1] != last or len(set(way)) < len(way):
            return None
        after_capsule = leg == 1 and ends["via"] is not None
        if way[0] != first if not after_capsule else not self.net.cable(ends["via"], way[0]):
            return None
        return way if all(self.net.cable(a, b) for a, b in pairwise(way)) else None

    def fresh(self, probe: dict[str, Any], legs: list[list[dict[str, Any]]], ends: Ends) -> list[Any]:
        """Of each leg the way that is to be said: not the one that was last known, or forgotten since."""
        slot, every, said = probe["sent_at_us"] // self.slot_us, 300_000_000 // self.slot_us, []
        phase = number_of(flow(probe)) % every
        for leg, hops in enumerate(legs):
            way = self.whole_way(leg, hops, ends)
            known = [(at, one) for at, one in self.ways[flow(probe), leg] if slot - self.slots <= at < slot]
            last = max(known, key=lambda each: each[0], default=None)
            if last is not None:
                # Of a flow that was sent twice in a slot the last one is remembered.
                last = [each for each in known if each[0] == last[0]][-1]
            same = (
                last is not None and last[1] == way and (last[0] + phase) // every == (slot + phase) // every
            )
            said.append(None if way is None or len(way) > 8 or same else way)
        return said

    def between(self, near: dict[str, Any], far: dict[str, Any]) -> list[tuple[int, int]]:
        """Cables that lead from one hop to the next, over a switch whose copy is missing if need be."""
        net, a, b = self.net, near["switch"], far["switch"]
        if net.cable(a, b):
            return [(a, b)]
        middle = [m for m in net.switches if net.cable(a, m) and net.cable(m, b)]
        if near["ttl"] - far["ttl"] == 2 and len(middle) == 1 and a in net.switches and b in net.switches:
            return [(a, middle[0]), (middle[0], b)]
        return []

    def following(self, probe: dict[str, Any], leg: int, switch: int) -> int | None:
        """The only switch for which the flow left that one, as far as was seen."""
        slot = probe["sent_at_us"] // self.slot_us
        seen = {to for at, to in self.left[flow(probe), leg, switch] if slot - self.slots <= at <= slot}
        return seen.pop() if len(seen) == 1 else None

    def lost_before(
        self, probe: dict[str, Any], lost: tuple[int, int, int] | None
    ) -> tuple[int, int, int] | None:
        """Where the last probe of the flow in an earlier slot was lost, if it was. `lost`: where this one
        was; probes are asked for in the order of sending."""
        slot, known = probe["sent_at_us"] // self.slot_us, self.fates[flow(probe)]
        known.append((slot, lost))
        earlier = [each for each in known if slot - self.slots <= each[0] < slot]
        return earlier[-1][1] if earlier else None


def flow(probe: dict[str, Any]) -> Flow:
    number = probe["probe_id"] >> 32
    return number, probe["target"], probe["via"], probe["source_port"], probe["destination_port"]


def number_of(of: Flow) -> int:
    """The 64-bit number by which the join knows a flow; only when it is said again depends on it."""
    prober, target, via, source_port, destination_port = of
    words = [int.from_bytes(each[i : i + 8], "big") for each in (target, via) for i in (0, 8)]
    words.append(prober << 32 | source_port << 16 | destination_port)
    total = sum(word * key for word, key in zip(words, _WORD_KEYS, strict=True)) % 2**64
    mixed = int(mix64(np.array([total], np.uint64))[0])
    return mixed - 2**64 if mixed >= 2**63 else mixed
