"""What the mapped arrays of evidence hold, counted in plain Python, one probe at a time."""

from __future__ import annotations

import struct
from collections import defaultdict, deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.streams.plain_bytes import altered_bytes

Hop = dict[str, Any]
Link = tuple[int, int]


@dataclass
class Told:
    """What the plain join knows of one probe. `ends`: nodes by role, None where not known."""

    probe: dict[str, Any]
    legs: list[list[Hop]]
    ends: dict[str, int | None]
    what: str
    place: Link | None
    leg: int
    altered: Alteration | None
    mirrors: bool  # whether the network mirrors
    group_lost: bool  # no member of its group was answered
    fresh: list[list[int] | None]  # ways of legs that are to be said
    again: bool  # lost where the last probe of its flow was lost
    recovered: tuple[int, int, int] | None  # where that was, if this one was answered
    odd: bool  # a path that is not valley-free, not cabled, drained, or goes round

    @property
    def replied(self) -> bool:
        return self.probe["rtt_ns"] >= 0

    @property
    def answered(self) -> bool:
        return self.replied or bool(self.legs[2])


@dataclass
class Alteration:
    place: Link | None
    leg: int
    good: Hop | None
    bad: list[Hop]  # those that no good one follows


class PlainTables:
    """The arrays of one slot."""

    def __init__(self) -> None:
        self.turns: dict[tuple[int, int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        self.strays: dict[tuple[int, int, int, int], int] = defaultdict(int)
        self.blind: dict[tuple[int, int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        self.paths: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.fates: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0])
        self.bits: dict[tuple[int, int, int, int, int], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, net: Any, told: Told) -> None:
        self._add_turns(net, told)
        self._add_strays(net, told)
        self._add_flow(told)
        if told.again and told.place:
            self.fates[*told.place, told.leg][0] += 1
        if told.recovered:
            self.fates[told.recovered][1] += 1
        if told.altered and told.altered.place:
            self._add_bits(told, told.altered)

    def rows(self, net: Any) -> dict[str, list[tuple[Any, ...]]]:
        places = {place: i for i, place in enumerate([*net.links, *((s, -1) for s in net.switches)])}
        # Those altered most often, if there are many; of equals the first ones.
        bits = [((places[bit[:2]], *bit[2:]), bit, counts) for bit, counts in self.bits.items()]
        bits = sorted(sorted(sorted(bits), key=lambda each: -sum(each[2]))[:4_096])
        return {
            "bits": [(*bit, *counts) for _, bit, counts in bits],
            "fates": [
                (*cell, *counts)
                for _, cell, counts in sorted((places[c[:2]], c, n) for c, n in self.fates.items())
            ],
            "blind": [(*flow, *counts) for flow, counts in sorted(self.blind.items())],
            "paths": list(self.paths.values()),
            "turns": [(*turn, *counts) for turn, counts in sorted(self.turns.items())],
            "strays": [(*stray, count) for stray, count in sorted(self.strays.items())],
        }

    # -- turns ------------------------------------------------------------------------------------

    def _add_turns(self, net: Any, told: Told) -> None:
        ways = {}
        for leg, hops in enumerate(told.legs):
            for i, hop in enumerate(hops):
                here = hop["switch"]
                came, left = link_before(net, told, leg, i), link_after(net, told, leg, i)
                ways[id(hop)] = came
                if several(net, here) and came and left:
                    self._turn(net, here, came, left, leg, 0)
        known_silent = told.ends["target"] in net.server and not net.server[told.ends["target"]].answers
        lost = told.what in ("network_loss", "unobserved") or (
            told.what == "host_silent" and not known_silent
        )
        if lost and told.place and told.leg >= 0 and told.legs[told.leg]:
            last = told.legs[told.leg][-1]
            if last["switch"] == told.place[0] and several(net, last["switch"]) and ways[id(last)]:
                self._turn(net, last["switch"], ways[id(last)], told.place, told.leg, 1)
        change = told.altered
        if change and change.place and change.good and change.good["leg"] == change.leg:
            here = change.good["switch"]
            if here == change.place[0] and several(net, here) and ways[id(change.good)]:
                self._turn(net, here, ways[id(change.good)], change.place, change.leg, 2)

    def _turn(self, net: Any, switch: int, came: Link, left: Link, leg: int, what: int) -> None:
        out = -1 if left[1] < 0 else chip_towards(net, switch, left[1])
        self.turns[switch, chip_towards(net, switch, came[0]), out, leg][what] += 1

    # -- flows ------------------------------------------------------------------------------------

    def _add_flow(self, told: Told) -> None:
        ends, probe = told.ends, told.probe
        if ends["target"] is None:
            return
        via = -1 if ends["via"] is None else ends["via"]
        number = 200_000_000 + (probe["probe_id"] >> 32)
        name = number, ends["target"], via, probe["source_port"]
        if not told.mirrors or not any(told.legs):
            counts = self.blind[name]
            counts[0] += 1
            counts[1] += not told.replied
            counts[2] += told.group_lost
        for leg, way in enumerate(told.fresh):
            if way is not None:
                packed = struct.pack(">8i", *(way + [-1] * 8)[:8])
                self.paths.pop((probe["destination_port"], name, leg), None)
                self.paths[probe["destination_port"], name, leg] = (*name, leg, packed)

    # -- bits -------------------------------------------------------------------------------------

    def _add_bits(self, told: Told, change: Alteration) -> None:
        for byte in altered_bytes_of(told):
            for bit in range(8):
                if byte["xor_mask"] >> bit & 1:
                    where = (*change.place, change.leg, byte["byte_offset"], bit)
                    self.bits[where][0 if byte["seen"] >> bit & 1 else 1] += 1

    # -- strays -----------------------------------------------------------------------------------

    def _add_strays(self, net: Any, told: Told) -> None:
        if told.replied and not told.odd:
            return
        for leg, hops in enumerate(told.legs):
            switches = [hop["switch"] for hop in hops]
            in_loop = told.what == "loop" and told.leg == leg
            rounds = in_loop or len(set(switches)) < len(switches)
            entry = told.ends["tor" if leg == 2 else "attached"]
            destination = told.ends[("via", "tor", "attached")[leg]]
            for i, (a, b) in enumerate(pairwise(hops)):
                if self._is_wrong(net, told, destination, a, b):
                    is_next = a["ttl"] - b["ttl"] == 1 and b["switch"] in net.switches
                    came = a["switch"] == entry if i == 0 else hops[i - 1]["ttl"] - a["ttl"] == 1
                    back = not is_next or not came or b["switch"] in switches[:i]
                    verdict = 5 if rounds and back else 6
                    self.strays[verdict, a["switch"], b["switch"] if is_next else -1, leg] += 1
                    break
            else:
                if in_loop and told.place:
                    self.strays[5, told.place[0], -1, leg] += 1

    def _is_wrong(self, net: Any, told: Told, destination: int | None, a: Hop, b: Hop) -> bool:
        near, far, gap = a["switch"], b["switch"], a["ttl"] - b["ttl"]
        if near not in net.switches:
            return False
        if gap == 1 and not net.cable(near, far):
            return True
        if far not in net.switches:
            return False
        if net.switches[far].drained and far != destination:
            return True
        left = hops_left(net, near, destination), hops_left(net, far, destination)
        return None not in left and left[0] - left[1] != gap and (gap == 1 or told.odd)


def altered_bytes_of(told: Told) -> list[dict[str, int]]:
    """Altered bytes in the first altered copy that came with its packet."""
    for hop in told.altered.bad if told.altered else ():
        if "packet" in hop:
            return altered_bytes(told.probe, told.altered.leg == 2, hop["packet"])
    return []


def hops_left(net: Any, switch: int, destination: int | None) -> int | None:
    """Hops on the shortest way to a switch; drained switches carry no transit."""
    if destination is None:
        return None
    hops, queue = {destination: 0}, deque([destination])
    while queue:
        here = queue.popleft()
        if here != destination and net.switches[here].drained:
            continue
        for a, b in net.links:
            if b == here and a in net.switches and a not in hops:
                hops[a] = hops[here] + 1
                queue.append(a)
    return hops.get(switch)


def several(net: Any, node: int) -> bool:
    return node in net.switches and len(net.switches[node].chips) > 1


def chip_towards(net: Any, node: int, peer: int) -> int:
    """Place of the chip that owns the port towards a neighbour."""
    switch = net.switches[node]
    (label,) = (port.chip for port in switch.ports if port.peer == net.name(peer))
    return [chip.label for chip in switch.chips].index(label)


def link_between(net: Any, a: Hop, b: Hop) -> tuple[Link | None, Link | None]:
    """The link after the first of two hops and the one before the second."""
    near, far = a["switch"], b["switch"]
    if net.cable(near, far):
        return (near, far), (near, far)
    middle = [m for m in net.switches if net.cable(near, m) and net.cable(m, far)]
    if a["ttl"] - b["ttl"] == 2 and len(middle) == 1 and near in net.switches and far in net.switches:
        return (near, middle[0]), (middle[0], far)
    return None, None


def link_before(net: Any, told: Told, leg: int, i: int) -> Link | None:
    hops, ends = told.legs[leg], told.ends
    here = hops[i]["switch"]
    if i:
        return link_between(net, hops[i - 1], hops[i])[1]
    if leg == 1 and ends["via"] is not None:
        sender, entry = None, ends["via"]
    elif leg == 2:
        sender, entry = ends["target"], ends["tor"]
    else:
        sender, entry = ends["prober"], ends["attached"]
    return net.cable(sender, here) if here == entry else net.cable(entry, here)


def link_after(net: Any, told: Told, leg: int, i: int) -> Link | None:
    hops, ends = told.legs[leg], told.ends
    here = hops[i]["switch"]
    if i + 1 < len(hops):
        return link_between(net, hops[i], hops[i + 1])[0]
    receiver, end, arrived = (
        (None, ends["via"], bool(told.legs[1]) or told.answered),
        (ends["target"], ends["tor"], told.answered),
        (ends["prober"], ends["attached"], told.replied),
    )[leg]
    if not arrived:
        return None
    return net.cable(here, receiver) if here == end else net.cable(here, end)
