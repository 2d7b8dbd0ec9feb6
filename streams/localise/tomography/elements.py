"""What may be to blame: elements as sets of cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from streams.localise.tomography.paths import summed

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
F8 = NDArray[np.float64]


@dataclass(frozen=True)  # no slots: the reverse is built once, on first use
class Elements:
    """e elements over cells 0..cells-1: the cells of element i are cell[start[i]:start[i + 1]].

    A packet crosses an element once for each of its cells on the way. A switch is therefore the set of the
    links that leave it, not of all its links. cost: f8[e], how much stronger than others the case against an
    element must be, in nats: the fewer of its kind fail, the higher.
    """

    start: I8
    cell: I4
    cost: F8
    cells: int

    @classmethod
    def of(cls, sets: Iterable[tuple[Iterable[int], float]], cells: int) -> Elements:
        """From (cells, cost) of each element."""
        members = [(sorted(set(each)), cost) for each, cost in sets]
        start = np.concatenate([[0], np.cumsum([len(each) for each, _ in members])]).astype(np.int64)
        cell = np.array([one for each, _ in members for one in each], np.int32)
        return cls(start, cell, np.array([cost for _, cost in members], np.float64), cells)

    @classmethod
    def single(cls, cells: int) -> Elements:
        """Every cell is an element of its own."""
        return cls(np.arange(cells + 1), np.arange(cells, dtype=np.int32), np.zeros(cells), cells)

    def __len__(self) -> int:
        return len(self.cost)

    def links(self, element: int) -> tuple[int, ...]:
        """Cells of one element."""
        return tuple(self.cell[self.start[element] : self.start[element + 1]].tolist())

    def sums(self, by_cell: F8, of: I8) -> F8:
        """Sum of f8[cells] over the cells of each of some elements: i8[n] -> f8[n]."""
        length = np.diff(self.start)[of]
        start = np.cumsum(length) - length
        at = np.arange(int(length.sum())) + np.repeat(self.start[of] - start, length)
        return summed(np.repeat(np.arange(len(of)), length), by_cell[self.cell[at]], len(of))

    @cached_property
    def containing(self) -> tuple[I8, I4]:
        """The elements that each cell is part of, as start i8[cells + 1] and element i4."""
        element = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.start))
        order = np.argsort(self.cell, kind="stable")
        count = np.bincount(self.cell, minlength=self.cells)
        return np.concatenate([[0], np.cumsum(count)]).astype(np.int64), element[order]
