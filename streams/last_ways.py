"""The way that each flow was last known to take, in a table that is looked up in bulk.

A hash table with open addressing: a flow stands at the place that its number names, or at the next free
one after it. Flows that have not come back for long are left behind when the table is built anew, which
costs a little now and then.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.places import LEGS

I8 = NDArray[np.int64]

_FREE = 0
_SMALLEST = 1 << 12
#: Places for each flow, at least, after the table was built anew, and before that is done again.
_ROOM, _FULL = 4, 2
NEVER = -(2**62)


class LastWays:
    """Ways of the legs of flows, and the slots in which they were seen. Mutable. Memory: 56 bytes a place,
    and up to eight places for each flow of `slots` slots."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._used = 0  # at most
        self._lay_out(_SMALLEST)

    def exchange(self, number: int, flow: I8, way: I8) -> tuple[I8, I8]:
        """Take in the ways of a slot, of a flow that occurs twice the later one: i8[p], i8[p, LEGS], 0 where
        a way is not known. Slots come in order. Returns the ways known before and the numbers of the slots
        in which they were seen, i8[p, LEGS] each, NEVER if in none of the last slots."""
        flow = np.where(flow == _FREE, 1, flow)
        if (self._used + len(flow)) * _FULL > len(self._flow):
            self._build_anew(number, len(flow))
        at = self._claim(flow)
        known, seen = self._way[at], self._number[at]
        seen[seen < number - self._slots] = NEVER
        for leg in range(LEGS):
            is_whole = np.flatnonzero(way[:, leg])
            self._way[at[is_whole], leg] = way[is_whole, leg]
            self._number[at[is_whole], leg] = number
        return known, seen

    def _claim(self, flow: I8) -> NDArray[np.intp]:
        """The place of each flow; those that have none get one."""
        place = np.empty(len(flow), np.intp)
        rest = np.arange(len(flow))
        at = (flow & self._mask).astype(np.intp)  # flows are hashes
        while len(rest):
            wanted = flow[rest]
            is_free = self._flow[at] == _FREE
            # Several may want one place: the last of them gets it, and the others go on.
            self._flow[at[is_free]] = wanted[is_free]
            is_mine = self._flow[at] == wanted
            place[rest[is_mine]] = at[is_mine]
            rest, at = rest[~is_mine], (at[~is_mine] + 1) & self._mask
        self._used += len(flow)
        return place

    def _build_anew(self, number: int, more: int) -> None:
        """Leave behind what was not seen of late, and make room for so many more flows."""
        newest = self._number.max(axis=1)
        live = np.flatnonzero((self._flow != _FREE) & (newest >= number - self._slots))
        flow, way, seen = self._flow[live], self._way[live], self._number[live]
        self._lay_out(max(_SMALLEST, 1 << (_ROOM * (len(live) + more) - 1).bit_length()))
        self._used = 0
        at = self._claim(flow)
        self._way[at], self._number[at] = way, seen

    def _lay_out(self, places: int) -> None:
        self._mask = places - 1
        self._flow: I8 = np.full(places, _FREE, np.int64)
        self._way: I8 = np.zeros((places, LEGS), np.int64)
        self._number: I8 = np.full((places, LEGS), NEVER, np.int64)
