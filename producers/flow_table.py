"""Chosen source ports as columns: which ports a target is probed with in which round.

A target with chosen flows is probed with one group of them after the other, then once with ports of its
moving window: so routes that nobody has chosen become known, and can be chosen when routes change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_ROW = -1


@dataclass(frozen=True, slots=True)
class FlowTable:
    """`ports`: i4[rows, width], of which the first `groups[row] * size` are used; `groups`: i4[rows]."""

    size: int
    ports: I4
    groups: I4

    @classmethod
    def of(cls, size: int, rows: Sequence[Sequence[int]]) -> FlowTable:
        """From lists of ports; what does not fill a group is left out."""
        groups = np.array([len(row) // size for row in rows], dtype=np.int32)
        ports = np.zeros((len(rows), max(1, size * int(groups.max(initial=0)))), dtype=np.int32)
        for at, row in enumerate(rows):
            used = int(groups[at]) * size
            ports[at, :used] = row[:used]
        return cls(size, ports, groups)

    def pick(self, row: I4, round_: int) -> tuple[I8, Bools]:
        """Ports for the groups of a round: i4[n] (NO_ROW allowed) -> i8[n, size], and which of them have
        chosen ports in this round, bool[n]; the ports of the others mean nothing. Not of an empty table."""
        groups = self.groups[row].astype(np.int64)
        turn = round_ % (groups + 1)
        chosen = (row >= 0) & (turn < groups)
        at = np.where(chosen, turn, 0)[:, None] * self.size + np.arange(self.size)
        at = np.minimum(at, self.ports.shape[1] - 1)
        return self.ports[row[:, None], at].astype(np.int64), chosen
