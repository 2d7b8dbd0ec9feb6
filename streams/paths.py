"""Paths out of hops: where each leg begins and ends, which links it crossed, what is odd about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Leg
from streams.hops import Hops
from streams.places import Places
from streams.probes import Probes

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

T = TypeVar("T", bound=np.generic)

_LEG_SLOTS = 4  # three legs, rounded up
#: Longest loop that is looked for, hops: down and up again over all tiers.
LOOP_HOPS = 6


@dataclass(frozen=True, slots=True)
class Legs:
    """`row`: shape (m,), switch row of each hop. `start`, `end`: shape (p, 4), hops of each probe and
    leg. Per probe: `off_path` (not valley-free, no such cable, a loop, or through a drained switch),
    `looped` (a switch twice on a leg), and `loop_row` and `loop_leg`, the last switch seen twice.
    `goes_round`: shape (p, 4), which of its legs do."""

    row: I4
    start: I8
    end: I8
    off_path: Bools
    looped: Bools
    loop_row: I4
    loop_leg: I1
    goes_round: Bools

    def seen(self, leg: Leg) -> Bools:
        """Whether there is a hop on a leg, be it of an unknown switch: bool[p]."""
        return self.end[:, leg] > self.start[:, leg]

    def last_switch(self, leg: Leg) -> I4:
        """Switch row of the last hop on a leg: i4[p], -1 if the leg has none."""
        return self.at_last(leg, self.row, -1)

    def first_switch(self, leg: Leg) -> I4:
        """Switch row of the first hop on a leg: i4[p], -1 if the leg has none."""
        start = self.start[:, leg]
        seen = self.end[:, leg] > start
        out = np.full(len(seen), -1, self.row.dtype)
        out[seen] = self.row[start[seen]]
        return out

    def last_hop(self, leg: I1, probe: I8) -> I8:
        """Last hop on the given leg of each of some probes: i1[n], i8[n] -> i8[n], -1 if it has none."""
        end = self.end[probe, leg]
        return np.where(end > self.start[probe, leg], end - 1, -1)

    def at_last(self, leg: Leg, column: NDArray[T], missing: int) -> NDArray[T]:
        """Value of a hop column at the last hop on a leg, shape (p,)."""
        end = self.end[:, leg]
        seen = end > self.start[:, leg]
        out = np.full(len(seen), missing, column.dtype)
        out[seen] = column[end[seen] - 1]
        return out


@dataclass(frozen=True, slots=True)
class Crossings:
    """Consecutive hops of one leg, shape (c,): hop row `at` and the one after it, the link between
    them (-1: no cable joins them) and by how much the TTL fell."""

    at: I8
    link: I4
    ttl_gap: NDArray[np.int16]


def trace(probes: Probes, hops: Hops, places: Places) -> tuple[Legs, Crossings]:
    """Bounds of the legs, the crossings between hops, and what is odd about a path."""
    count = len(probes)
    row = places.switch_row(hops.switch)
    slot = hops.probe.astype(np.int64) * _LEG_SLOTS + hops.leg
    end = np.cumsum(np.bincount(slot, minlength=count * _LEG_SLOTS)).reshape(count, _LEG_SLOTS)
    start = np.concatenate([[0], end.reshape(-1)[:-1]]).reshape(count, _LEG_SLOTS)

    at = np.flatnonzero(slot[1:] == slot[:-1])
    link = places.between_switches(row[at], row[at + 1])
    gap = hops.ttl[at] - hops.ttl[at + 1]
    crossings = Crossings(at, link, gap)

    suspicious = np.zeros(count, np.bool_)
    suspicious[hops.probe[at[(link < 0) & (gap == 1)]]] = True
    suspicious[hops.probe[_valleys(slot, row, at, places)]] = True
    suspicious[hops.probe[places.index.drained[row] & (row >= 0)]] = True
    goes_round, loop_row, loop_leg = _loops(hops, slot, row, count)
    looped = loop_leg >= 0
    return Legs(row, start, end, suspicious | looped, looped, loop_row, loop_leg, goes_round), crossings


def _valleys(slot: I8, row: I4, at: I8, places: Places) -> I8:
    """Hops from which a leg climbs although it has descended before."""
    rank = np.append(places.index.rank, np.int8(-1))[row].astype(np.int16)
    known = (rank[at] >= 0) & (rank[at + 1] >= 0)
    step = np.where(known, np.sign(rank[at + 1] - rank[at]), 0)
    # The last descent at or before each crossing, as a hop number; it counts if it is of this leg.
    descent = np.maximum.accumulate(np.where(step < 0, at, -1)) if len(at) else at
    climbs: I8 = at[(step > 0) & (descent >= 0) & (slot[descent] == slot[at])]
    return climbs


def _loops(hops: Hops, slot: I8, row: I4, count: int) -> tuple[Bools, I4, I1]:
    """Switches that a leg passes twice. One that goes round has a repeat within a few hops; a path
    that turns back at the top is valley-free and repeats its switches all the same."""
    goes_round = np.zeros((count, _LEG_SLOTS), np.bool_)
    loop_row = np.full(count, -1, np.int32)
    loop_leg = np.full(count, -1, np.int8)
    repeat = np.zeros(len(hops), np.bool_)
    for lag in range(1, min(LOOP_HOPS, len(hops) - 1) + 1):
        repeat[lag:] |= (slot[lag:] == slot[:-lag]) & (hops.switch[lag:] == hops.switch[:-lag])
    again = np.flatnonzero(repeat)
    goes_round[hops.probe[again], hops.leg[again]] = True
    loop_row[hops.probe[again]] = row[again]
    loop_leg[hops.probe[again]] = hops.leg[again]
    return goes_round, loop_row, loop_leg
