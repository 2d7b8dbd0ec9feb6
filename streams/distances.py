"""How many hops are left from a switch to a destination: a healthy switch sends packets closer to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]

UNKNOWN = -1
_HOPS_MAX = 32


class Distances:
    """Table of shortest ways over cables, drained switches carrying no transit; immutable. Memory: 1 byte
    per switch and destination switch (one that servers or Probers hang on, or that decapsulates)."""

    def __init__(self, index: FabricIndex) -> None:
        switches, rows = index.fabric.switches, len(index.switch_node)
        attached = [index.fabric.node(p.switch) for p in index.fabric.probers]
        vias = [s.node for s in switches if s.decapsulates]
        ends = np.unique(np.concatenate([index.server_tor, np.array(attached + vias, np.int32)]))
        end_rows = index.switch_row(ends.astype(np.int32))
        self._column = np.full(rows + 1, len(ends), np.int32)  # one more column, of UNKNOWN only
        self._column[end_rows] = np.arange(len(ends))
        self._hops = np.full((rows + 1, len(ends) + 1), UNKNOWN, np.int8)
        self._search(index, end_rows)

    def _search(self, index: FabricIndex, end_rows: I4) -> None:
        """Breadth first from all destinations at once: a bit per destination, a step per hop."""
        from_row, to_row = index.switch_row(index.link_from), index.switch_row(index.link_to)
        between = np.flatnonzero((from_row >= 0) & (to_row >= 0))
        between = between[np.argsort(from_row[between], kind="stable")]
        near, far = from_row[between], to_row[between]
        begins = np.flatnonzero(np.append(True, near[1:] != near[:-1])) if len(near) else near
        is_end = np.zeros((len(index.switch_node), len(end_rows)), np.bool_)
        is_end[end_rows, np.arange(len(end_rows))] = True
        seen = np.packbits(is_end, axis=1)
        ahead = seen
        hops = self._hops[:-1, :-1]
        hops[is_end] = 0
        for step in range(1, _HOPS_MAX):
            if not len(near):
                break
            reached = np.zeros_like(seen)
            reached[near[begins]] = np.bitwise_or.reduceat(ahead[far], begins, axis=0)
            fresh = reached & ~seen
            if not fresh.any():
                break
            hops[np.unpackbits(fresh, axis=1, count=len(end_rows)).astype(np.bool_)] = step
            seen = seen | fresh
            ahead = np.where(index.drained[:, None], np.uint8(0), fresh)

    def hops(self, switch_row: I4, destination_row: I4) -> I1:
        """Hops from switches to destination switches: i4[n], i4[n] -> i1[n], UNKNOWN where there is no way
        or no such destination. Rows may be -1."""
        return self._hops[switch_row, self._column[destination_row]]
