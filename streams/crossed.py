"""The links that the probes of a slot crossed, found again by flow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Leg
from streams.closing import Closed
from streams.places import LEGS, Places

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]

_CELL_BITS = 32


@dataclass(slots=True)
class Crossed:
    """`flow`: of each probe, i8[p]. `probe`, `cell`: links between switches that probes crossed for certain,
    as cells (link * LEGS + leg), i4[c] each. Sorted when it is first asked: mostly, nothing is lost."""

    number: int
    flow: I8
    probe: I4
    cell: I4
    _start: I8 | None = field(default=None, init=False)

    def of_flows(self, flow: I8) -> tuple[I8, I4]:
        """Cells that some flows crossed: i8[k] -> the flow of each, as its place in `flow`, and the cell."""
        if self._start is None:
            self._start = self._sort()
        first = np.searchsorted(self.flow, flow)
        stop = np.searchsorted(self.flow, flow, side="right")
        # The probes of a flow stand together, and so do their cells.
        of, at = _ranges(self._start[first], self._start[stop])
        return of, self.cell[at]

    def _sort(self) -> I8:
        """Sort by flow; returns where the cells of each probe start, i8[p + 1]."""
        order = np.argsort(self.flow, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        # One integer holds the probe's rank and the cell, so that a plain sort does.
        key = rank[self.probe] << _CELL_BITS | self.cell
        key.sort()
        start = np.zeros(len(order) + 1, np.int64)
        np.cumsum(np.bincount(key >> _CELL_BITS, minlength=len(order)), out=start[1:])
        self.flow, self.probe = self.flow[order], np.empty(0, np.int32)
        self.cell = key.astype(np.int32)  # keeps the lowest 32 bits
        return start


def crossed(number: int, flow: I8, closed: Closed, places: Places) -> Crossed:
    """Between hops that were seen, over single switches that are missing between them, and out of the
    switch that takes packets out of their capsules."""
    hops, crossings, bridges = closed.hops, closed.crossings, closed.bridges
    via = places.switch_row(closed.probes.via_node)
    first, last = closed.legs.first_switch(Leg.PROBE), closed.legs.last_switch(Leg.ENCAPSULATED)
    taken_out = np.flatnonzero((last >= 0) & (last == via)).astype(np.int32)
    parts = [
        (hops.probe[crossings.at], crossings.link, hops.leg[crossings.at]),
        (hops.probe[bridges.at], bridges.into, hops.leg[bridges.at]),
        (hops.probe[bridges.at], bridges.out, hops.leg[bridges.at]),
        (
            taken_out,
            places.between_switches(via[taken_out], first[taken_out]),
            np.full(len(taken_out), Leg.PROBE, np.int8),
        ),
    ]
    probe, link, leg = (np.concatenate(column) for column in zip(*parts, strict=True))
    known = link >= 0
    return Crossed(number, flow, probe[known], (link * np.int32(LEGS) + leg)[known])


def _ranges(start: I8, stop: I8) -> tuple[I8, I8]:
    """All numbers of some ranges, one after the other: the range that each belongs to, and the number."""
    lengths = stop - start
    of = np.repeat(np.arange(len(start)), lengths)
    return of, np.arange(len(of)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + start[of]
