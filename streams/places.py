"""Places: one small integer for everything on which evidence is counted.

A place is a directed link, or "beyond a switch" where a probe was last seen at that switch and the
next hop is not known. Links come first, in the order of the fabric's link table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex
from schemas.nodes import UNKNOWN_NODE
from schemas.rows import Leg
from streams.descent import Descent

I4 = NDArray[np.int32]

#: Evidence is counted in cells, ``place * LEGS + leg``: legs are never merged.
LEGS = len(Leg)
#: Up to so many switches the links between them are looked up in a square table (16 MB).
_SQUARE_MAX = 2_048


class Places:
    """Place numbers of a fabric; immutable."""

    def __init__(self, index: FabricIndex) -> None:
        self.index = index
        self.links = len(index.link_from)
        self.count = self.links + len(index.switch_node)
        self.from_node: I4 = np.concatenate([index.link_from, index.switch_node])
        self.to_node: I4 = np.concatenate(
            [index.link_to, np.full(len(index.switch_node), UNKNOWN_NODE, np.int32)]
        )
        self.from_row: I4 = index.switch_row(self.from_node)  # -1: not a switch
        self._descent = Descent(index)
        limit = int(index.switch_node.max(initial=-1)) + 1
        self._row_of_switch = np.full(limit + 1, -1, np.int32)
        self._row_of_switch[index.switch_node] = np.arange(len(index.switch_node), dtype=np.int32)
        self._square: I4 | None = None
        if len(index.switch_node) <= _SQUARE_MAX:
            self._square = np.full((len(index.switch_node) + 1,) * 2, -1, np.int32)
            rows = index.switch_row(index.link_from), index.switch_row(index.link_to)
            between = (rows[0] >= 0) & (rows[1] >= 0)
            self._square[rows[0][between], rows[1][between]] = np.flatnonzero(between)

    def switch_row(self, node: I4) -> I4:
        """Row of each switch in the fabric's columns: i4[n] -> i4[n], -1 if unknown."""
        known = (node >= 0) & (node < len(self._row_of_switch) - 1)
        return self._row_of_switch[np.where(known, node, -1)]

    def between_switches(self, from_row: I4, to_row: I4) -> I4:
        """Directed link between switch rows (-1 allowed): i4[n], i4[n] -> i4[n], -1 if no cable."""
        if self._square is not None:
            return self._square[from_row, to_row]  # row -1 is the last one, which holds -1 only
        nodes = self.index.switch_node
        found = self.index.link_index(nodes[from_row], nodes[to_row])
        return np.where((from_row >= 0) & (to_row >= 0), found, np.int32(-1))

    def beyond(self, switch_row: I4) -> I4:
        """The place "somewhere after this switch": i4[n] -> i4[n], -1 for an unknown switch."""
        return np.where(switch_row >= 0, self.links + switch_row, np.int32(-1)).astype(np.int32)

    def after(self, switch_row: I4, destination_row: I4) -> I4:
        """Where a packet went that was last seen at a switch: the link it had to take, where there is
        but one way down to its destination switch, else "beyond". i4[n], i4[n] -> i4[n]."""
        down = self._descent.link(switch_row, destination_row)
        return np.where(down >= 0, down, self.beyond(switch_row))
