"""Where flows went, in plain Python: a dict of everything that was ever seen, asked for a stretch of time."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

Flow = tuple[int, bytes, bytes, int, int]
Ends = dict[str, int | None]


class PlainFlows:
    """`slots`: how many slots before the one of a probe are looked at, besides that one."""

    def __init__(self, net: Any, slot_us: int, slots: int) -> None:
        self.net, self.slot_us, self.slots = net, slot_us, slots
        #: By flow, leg and switch: slots in which it was seen to leave the switch, and for where.
        self.left: dict[tuple[Flow, int, int], list[tuple[int, int]]] = defaultdict(list)

    def learn(self, probe: dict[str, Any], legs: list[list[dict[str, Any]]], ends: Ends) -> None:
        slot = probe["sent_at_us"] // self.slot_us
        for leg, hops in enumerate(legs):
            for near, far in pairwise(hops):
                for a, b in self.between(near, far):
                    self.left[flow(probe), leg, a].append((slot, b))
        encapsulated, out, _ = legs
        if encapsulated and out and encapsulated[-1]["switch"] == ends["via"]:
            via, following = encapsulated[-1]["switch"], out[0]["switch"]
            if self.net.cable(via, following):
                self.left[flow(probe), 1, via].append((slot, following))

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


def flow(probe: dict[str, Any]) -> Flow:
    number = probe["probe_id"] >> 32
    return number, probe["target"], probe["via"], probe["source_port"], probe["destination_port"]
