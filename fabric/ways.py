"""Shortest ways between switches that climb, then descend, and do not climb again.

Probes are sent only where routing takes such a way: another one would be reported as an unexpected path
(see streams.paths), and where an inventory joins two data centres a server of the other one can only be
reached through a valley. Drained switches carry no transit, as in fabric.simulator.routes.

Method: breadth-first search from the destination, backwards, over switches that a packet comes to while it
still climbs and switches that it comes to when it has begun to descend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
Bools = NDArray[np.bool_]

UNREACHABLE = 127
HOPS_MAX = 32


@dataclass(frozen=True, slots=True)
class WaysTo:
    """Hops that are left to the nearest of a set of destinations, i1[S] by switch row, UNREACHABLE if there
    is no way: `climbing` if the packet may still climb, `descending` if it may not. `valley_free`: bool[S],
    whether there is a way and the shortest needs no valley. `ends`: bool[S], the destinations."""

    climbing: I1
    descending: I1
    valley_free: Bools
    ends: Bools


class Ways:
    """Ways through a fabric. Immutable; `links`: rows of the link table that join switches."""

    def __init__(self, index: FabricIndex) -> None:
        from_row, to_row = index.switch_row(index.link_from), index.switch_row(index.link_to)
        self.links: I4 = np.flatnonzero((from_row >= 0) & (to_row >= 0)).astype(np.int32)
        self.near: I4 = from_row[self.links]
        self.far: I4 = to_row[self.links]
        step = index.rank[self.far].astype(np.int16) - index.rank[self.near]
        #: A cable between switches of one rank neither climbs nor descends.
        self.climbs: Bools = step >= 0
        self.descends: Bools = step <= 0
        self._up = np.flatnonzero(self.climbs)
        self._down = np.flatnonzero(self.descends)
        self._switches = len(index.switch_node)
        self._drained = index.drained
        self._enters_drained: Bools = index.drained[self.far]

    def to(self, rows: I4) -> WaysTo:
        """Ways to the nearest of some switches, given by row."""
        ends = np.zeros(self._switches, np.bool_)
        ends[rows] = True
        shortest, climbing, descending = (np.full(self._switches, UNREACHABLE, np.int8) for _ in range(3))
        any_ahead = up_ahead = down_ahead = ends
        for hops in range(HOPS_MAX):
            for distance, ahead in (
                (shortest, any_ahead),
                (climbing, up_ahead),
                (descending, down_ahead),
            ):
                distance[ahead] = hops
            if hops:  # a drained switch is an end of a way, never in the middle of one
                any_ahead, up_ahead, down_ahead = (
                    a & ~self._drained for a in (any_ahead, up_ahead, down_ahead)
                )
            if not any_ahead.any():
                break
            down_ahead = self._before(self._down, down_ahead) & (descending == UNREACHABLE)
            up_ahead = (self._before(self._up, up_ahead) | down_ahead) & (climbing == UNREACHABLE)
            any_ahead = self._before(None, any_ahead) & (shortest == UNREACHABLE)
        return WaysTo(climbing, descending, (climbing == shortest) & (climbing < UNREACHABLE), ends)

    def steps(self, way: WaysTo) -> tuple[Bools, Bools]:
        """Links, as positions in `links`, that lead one hop nearer while climbing and while descending."""
        open_ = ~self._enters_drained | way.ends[self.far]
        return (
            open_ & self.climbs & (way.climbing[self.far] == way.climbing[self.near] - 1),
            open_ & self.descends & (way.descending[self.far] == way.descending[self.near] - 1),
        )

    def _before(self, which: NDArray[np.intp] | None, ahead: Bools) -> Bools:
        """Switches from which one of the links leads to a switch in `ahead`."""
        near, far = (self.near, self.far) if which is None else (self.near[which], self.far[which])
        found = np.zeros(self._switches, np.bool_)
        found[near[ahead[far]]] = True
        return found
