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
#: The table is built anew when three quarters of it are taken, and is then at most half full.
_ROOM, _FULL = 2, 0.75
NEVER = -(2**62)


# Columns of the table: a place fills a cache line, which is what looking it up costs.
_FLOW, _WAY, _NUMBER, _COLUMNS = 0, slice(1, 1 + LEGS), slice(1 + LEGS, 1 + 2 * LEGS), 8


class LastWays:
    """Ways of the legs of flows, and the slots in which they were seen. Mutable. Memory: 64 bytes a place,
    and up to four places for each flow of `slots` slots."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._used = 0  # at most
        self._lay_out(_SMALLEST)

    def exchange(self, number: int, flow: I8, way: I8) -> tuple[I8, I8]:
        """Take in the ways of a slot, of a flow that occurs twice the later one: i8[p], i8[p, LEGS], 0 where
        a way is not known. Slots come in order. Returns the ways known before and the numbers of the slots
        in which they were seen, i8[p, LEGS] each, NEVER if in none of the last slots."""
        flow = np.where(flow == _FREE, 1, flow)
        if self._used + len(flow) > len(self._table) * _FULL:
            self._build_anew(number, len(flow))
        at = self._claim(flow)
        before = self._table[at]
        known, seen = before[:, _WAY], before[:, _NUMBER]
        seen[seen < number - self._slots] = NEVER
        for leg in range(LEGS):
            is_whole = np.flatnonzero(way[:, leg])
            self._table[at[is_whole], _WAY.start + leg] = way[is_whole, leg]
            self._table[at[is_whole], _NUMBER.start + leg] = number
        return known, seen

    def _claim(self, flow: I8) -> NDArray[np.intp]:
        """The place of each flow; those that have none get one."""
        place = np.empty(len(flow), np.intp)
        rest = np.arange(len(flow))
        at = (flow & self._mask).astype(np.intp)  # flows are hashes
        while len(rest):
            wanted = flow[rest]
            is_free = np.flatnonzero(self._table[at, _FLOW] == _FREE)
            # Several may want one place: the last of them gets it, and the others go on.
            self._table[at[is_free], _FLOW] = wanted[is_free]
            self._used += len(is_free)
            is_mine = self._table[at, _FLOW] == wanted
            place[rest[is_mine]] = at[is_mine]
            rest, at = rest[~is_mine], (at[~is_mine] + 1) & self._mask
        return place

    def _build_anew(self, number: int, more: int) -> None:
        """Leave behind what was not seen of late, and make room for so many more flows."""
        # Column by column: over so few columns `max` takes ten times as long.
        newest = np.maximum.reduce([self._table[:, at] for at in range(_NUMBER.start, _NUMBER.stop)])
        live = self._table[newest >= number - self._slots]
        self._lay_out(max(_SMALLEST, 1 << (_ROOM * (len(live) + more) - 1).bit_length()))
        self._used = 0
        self._table[self._claim(live[:, _FLOW])] = live

    def _lay_out(self, places: int) -> None:
        self._mask = places - 1
        self._table: I8 = np.zeros((places, _COLUMNS), np.int64)
        self._table[:, _NUMBER] = NEVER
