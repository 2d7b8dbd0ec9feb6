"""Where a packet must go next once it is above its destination.

On the way up a switch chooses among equals, and which it chose is not known of a lost packet. On the
way down a Clos network leaves no choice: a spine has one leaf per pod, a leaf one link to each ToR.
So a loss on the way down is a loss on one link, and needs no guess.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex

I4 = NDArray[np.int32]


class Descent:
    """Table of the only way down; immutable. Memory: 4 bytes per switch and destination switch."""

    def __init__(self, index: FabricIndex) -> None:
        switches = len(index.switch_node)
        attached = [index.fabric.node(p.switch) for p in index.fabric.probers]
        ends = np.unique(np.concatenate([index.server_tor, np.array(attached, np.int32)]))
        self._column = np.full(switches + 1, len(ends), np.int32)  # one more column, of -1 only
        end_rows = index.switch_row(ends.astype(np.int32))
        self._column[end_rows] = np.arange(len(ends))
        from_row, to_row = index.switch_row(index.link_from), index.switch_row(index.link_to)
        between = np.flatnonzero((from_row >= 0) & (to_row >= 0))
        down = between[index.rank[from_row[between]] > index.rank[to_row[between]]]

        reaches = np.zeros((switches, len(ends)), np.bool_)
        reaches[end_rows, np.arange(len(ends))] = True
        self._link = np.full((switches + 1, len(ends) + 1), -1, np.int32)
        # Lower switches first, so that those below a switch are known when it is looked at.
        for link in down[np.lexsort((down, index.rank[from_row[down]]))].tolist():
            above, below = from_row[link], to_row[link]
            ways = reaches[below]
            known = self._link[above, :-1]
            self._link[above, :-1] = np.where(ways, np.where(known == -1, link, -2), known)
            reaches[above] |= ways

    def link(self, switch_row: I4, destination_row: I4) -> I4:
        """The only link down from a switch towards a destination switch: i4[n], i4[n] -> i4[n], -1
        where the packet still climbs, has arrived, or may choose. Rows may be -1."""
        found: I4 = self._link[switch_row, self._column[destination_row]]
        return np.where(found >= 0, found, np.int32(-1))
