"""A copy missing in the middle of a leg: if one switch alone joins its neighbours, it was that one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.paths import Crossings, Legs
from streams.places import Places

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bridges:
    """Gaps of one copy that only one switch can fill, shape (b,): row of the hop `at` before the gap, and
    the links `into` the switch and `out` of it."""

    at: I8
    into: I4
    out: I4


def bridge(legs: Legs, crossings: Crossings, places: Places) -> Bridges:
    """The bridges over all gaps of one copy."""
    gaps = np.flatnonzero((crossings.link < 0) & (crossings.ttl_gap == 2))
    if not len(gaps):
        return Bridges(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))
    at = crossings.at[gaps]
    pairs, where = np.unique(np.stack([legs.row[at], legs.row[at + 1]]), axis=1, return_inverse=True)
    middle = np.array([_only_middle(int(a), int(b), places) for a, b in pairs.T], np.int32)[where.reshape(-1)]
    known = middle >= 0
    at, middle = at[known], middle[known]
    into = places.between_switches(legs.row[at], middle)
    out = places.between_switches(middle, legs.row[at + 1])
    return Bridges(at, into, out)


def _only_middle(a: int, b: int, places: Places) -> int:
    every = np.arange(len(places.index.switch_node), dtype=np.int32)
    left = places.between_switches(np.full(len(every), a, np.int32), every) >= 0
    right = places.between_switches(every, np.full(len(every), b, np.int32)) >= 0
    found = np.flatnonzero(left & right)
    return int(found[0]) if len(found) == 1 and a >= 0 and b >= 0 else -1
