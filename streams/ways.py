"""Flows and their ways as numbers of 64 bits, so that they can be compared in bulk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.address import address_words
from schemas.partition import mix64
from schemas.rows import Leg
from streams.closing import Closed
from streams.places import LEGS, Places
from streams.probes import PROBER_SHIFT, Probes

I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

#: Odd numbers: what differs in one word differs in the sum.
_WORD_KEYS = (
    0x9E3779B97F4A7C15,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0xD6E8FEB86659FD93,
    0xA0761D6478BD642F,
)
#: Hops of a leg that are told apart by their place on it.
_HOPS_MAX = 16


def flow_of(probes: Probes) -> I8:
    """A number for Prober, target, decapsulating ToR and ports, which name the flow: i8[p]."""
    ports = probes.rows["source_port"].astype(np.uint64) << np.uint64(16)
    ports |= probes.rows["destination_port"].astype(np.uint64)
    ends = (probes.probe_id >> PROBER_SHIFT).astype(np.uint64) << np.uint64(32) | ports
    words = (*address_words(probes.rows["target"]), *address_words(probes.rows["via"]), ends)
    total = np.zeros(len(probes), np.uint64)
    for word, key in zip(words, _WORD_KEYS, strict=True):
        total += word * np.uint64(key)
    return mix64(total).view(np.int64)


class Ways:
    """Turns the hops of legs into numbers; holds one number for every switch and place on a leg."""

    def __init__(self, places: Places) -> None:
        self._places = places
        rows = len(places.index.switch_node) + 1  # the last is that of an unknown switch
        self._of_hop = mix64(np.arange(1, _HOPS_MAX * rows + 1, dtype=np.uint64)).reshape(_HOPS_MAX, rows)

    def __call__(self, closed: Closed) -> I8:
        """The way of each leg: i8[p, LEGS]; 0 where it was not seen whole, from one end to the other."""
        legs, hops = closed.legs, closed.hops
        start, end = legs.start[:, :LEGS], legs.end[:, :LEGS]
        place_on_leg = np.arange(len(hops)) - legs.start[hops.probe, hops.leg]
        sums = np.zeros(len(hops) + 1, np.uint64)
        np.cumsum(self._of_hop[np.minimum(place_on_leg, _HOPS_MAX - 1), legs.row], out=sums[1:])
        way = (sums[end] - sums[start]).view(np.int64)
        way[~self._is_whole(closed)] = 0
        return way

    def _is_whole(self, closed: Closed) -> Bools:
        """Legs of which each hop from the first switch to the last was seen: bool[p, LEGS]."""
        probes, legs, hops, crossings = closed.probes, closed.legs, closed.hops, closed.crossings
        tor, attached, via = (
            self._places.switch_row(n) for n in (probes.tor_node, probes.attached_node, probes.via_node)
        )
        whole = np.zeros((len(probes), LEGS), np.bool_)
        for leg, first, last in (
            (Leg.ENCAPSULATED, attached, via),
            (Leg.PROBE, attached, tor),
            (Leg.REPLY, tor, attached),
        ):
            begins = legs.first_switch(leg)
            starts_well = begins == first
            if leg is Leg.PROBE:
                # What was taken out of its capsule goes on from there; that switch mirrors it but once.
                starts_well = np.where(via >= 0, self._places.between_switches(via, begins) >= 0, starts_well)
            whole[:, leg] = (begins >= 0) & starts_well & (legs.last_switch(leg) == last)
        broken = crossings.at[crossings.link < 0]
        whole[hops.probe[broken], hops.leg[broken]] = False
        return whole & ~legs.goes_round[:, :LEGS]
