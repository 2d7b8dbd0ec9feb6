"""Where flows went: a packet of the same five-tuple takes the same way, so an earlier one tells where a
lost one was going.

A target is probed over a small set of flows, and each of them comes back within a few rounds; all rounds
of a target are joined in one partition (see schemas.partition). The memory holds the links that the probes
of the last seconds crossed, slot by slot. What it says of a slot is a function of that slot and of a fixed
number of slots before it, so of the log alone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streams.closing import Closed
from streams.crossed import Crossed, crossed
from streams.last_ways import LastWays
from streams.places import LEGS, Places
from streams.verdict import Verdict
from streams.ways import Ways, flow_of

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Flows:
    """Probes of a slot, shape (p,): `flow`, and `way`, shape (p, LEGS), as `streams.ways` gives them; and the
    ways that were known before, and the slots in which they were seen, as `streams.last_ways` gives them."""

    number: int
    flow: I8
    way: I8
    known_way: I8
    known_number: I8


class FlowMemory:
    """Flows of the last `slots` slots and of the present one. Mutable; one for each partition."""

    def __init__(self, places: Places, ways: Ways, slots: int) -> None:
        self._places = places
        self._ways = ways
        self._slots = slots
        self._last_ways = LastWays(slots)
        self._remembered: deque[Crossed] = deque()

    def remember(self, number: int, closed: Closed) -> Flows:
        """Take in a slot; slots come in order. What it gives is for the other methods, which speak of that
        slot until the next one is taken in."""
        while self._remembered and self._remembered[0].number < number - self._slots:
            self._remembered.popleft()
        flow, way = flow_of(closed.probes), self._ways(closed)
        flows = Flows(number, flow, way, *self._last_ways.exchange(number, flow, way))
        self._remembered.append(crossed(number, flow, closed, self._places))
        return flows

    def located(self, closed: Closed, flows: Flows) -> Closed:
        """The same slot, with its losses "beyond a switch" put on the link that their flow took from there.

        Only if that is known, and was always the same one: a flow whose way varies stays unlocated. Costs
        nothing where nothing was lost.
        """
        judgement, links = closed.judgement, self._places.links
        lost = np.flatnonzero((judgement.verdict == Verdict.NETWORK_LOSS) & (judgement.place >= links))
        if not len(lost):
            return closed
        link = self.next_link(flows.flow[lost], judgement.place[lost] - links, judgement.leg[lost])
        place = judgement.place.copy()
        place[lost] = np.where(link >= 0, link, place[lost])
        return replace(closed, judgement=replace(judgement, place=place))

    def is_new(self, flows: Flows, forgets_slots: int) -> Bools:
        """Legs that were seen whole and whose way is not the one that was last known: bool[p, LEGS].

        The last one known is that of the newest earlier slot in which the leg of that flow was seen whole.
        Every `forgets_slots` slots, when is a matter of the flow, what was known of it before is forgotten.
        """
        phase = (flows.flow % forgets_slots)[:, None]
        is_forgotten = (flows.known_number + phase) // forgets_slots != (
            flows.number + phase
        ) // forgets_slots
        is_new: Bools = (flows.way != 0) & ((flows.way != flows.known_way) | is_forgotten)
        return is_new

    def next_link(self, flow: I8, row: I4, leg: I1) -> I4:
        """The link by which flows left switches on legs: i8[k], i4[k], i1[k] -> i4[k], -1 where it is not
        known or varied. In the present slot and those that are remembered."""
        least, most = np.full(len(flow), 2**31 - 1, np.int32), np.full(len(flow), -1, np.int32)
        for slot in self._remembered:
            of, cell = slot.of_flows(flow)
            link, on = np.divmod(cell, np.int32(LEGS))
            leads_on = (self._places.from_row[link] == row[of]) & (on == leg[of])
            np.minimum.at(least, of[leads_on], link[leads_on])
            np.maximum.at(most, of[leads_on], link[leads_on])
        return np.where(least == most, most, np.int32(-1))
