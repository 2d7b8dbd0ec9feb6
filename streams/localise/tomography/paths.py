"""Probes counted by the path they took: what every tomography here starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
F8 = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PathCounts:
    """p paths over cells 0..cells-1. A cell is a directed link, or whatever else a path can cross.

    start: i8[p + 1]; link: i4[start[-1]], the cells of path j are link[start[j]:start[j + 1]], in any
    order, one that is crossed twice standing there twice; sent, lost: i8[p]. Raises ValueError if these
    contradict each other.
    """

    start: I8
    link: I4
    sent: I8
    lost: I8
    cells: int

    def __post_init__(self) -> None:
        paths = len(self.sent)
        if len(self.lost) != paths or len(self.start) != paths + 1:
            raise ValueError(
                f"{paths} paths need {paths} losses and {paths + 1} starts, not {len(self.lost)} and "
                f"{len(self.start)}"
            )
        if self.start[0] != 0 or self.start[-1] != len(self.link) or (np.diff(self.start) < 0).any():
            raise ValueError(f"starts must rise from 0 to {len(self.link)}")
        if len(self.link) and not 0 <= self.link.min() <= self.link.max() < self.cells:
            raise ValueError(f"cells must lie in 0..{self.cells - 1}")
        if (self.lost < 0).any() or (self.lost > self.sent).any():
            raise ValueError("a path cannot lose less than none or more than was sent")

    @classmethod
    def of_matrix(cls, links: I4, sent: I8, lost: I8, cells: int) -> PathCounts:
        """From a matrix i4[p, w] of the cells of each path, -1 where a row is not full."""
        taken = links >= 0
        start = np.concatenate([[0], np.cumsum(taken.sum(axis=1))]).astype(np.int64)
        return cls(start, links[taken].astype(np.int32), _i8(sent), _i8(lost), cells)

    def __len__(self) -> int:
        return len(self.sent)

    @property
    def length(self) -> I8:
        """Cells of each path: i8[p]."""
        return np.diff(self.start)

    @property
    def path(self) -> I8:
        """The path that each entry of `link` belongs to: i8[start[-1]]."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.length)

    def matrix(self) -> I4:
        """Reverse of `of_matrix`."""
        length = self.length
        links = np.full((len(self), int(length.max(initial=0))), -1, np.int32)
        links[self.path, np.arange(len(self.link)) - np.repeat(self.start[:-1], length)] = self.link
        return links

    def by_cell(self, weight: F8) -> F8:
        """Sum of the weights f8[p] of the paths across each cell: f8[cells]."""
        return summed(self.link, weight[self.path], self.cells)

    def take(self, keep: Bools) -> PathCounts:
        """The paths selected by bool[p]."""
        length = self.length
        start = np.concatenate([[0], np.cumsum(length[keep])]).astype(np.int64)
        return PathCounts(
            start, self.link[np.repeat(keep, length)], self.sent[keep], self.lost[keep], self.cells
        )

    def aggregated(self) -> PathCounts:
        """Paths with the same cells put together, in an order that does not depend on that of the paths."""
        if not len(self):
            return self
        links = np.sort(self.matrix(), axis=1)
        rows, same = np.unique(links, axis=0, return_inverse=True)
        sent, lost = (
            np.bincount(same.reshape(-1), column, len(rows)).astype(np.int64)
            for column in (self.sent, self.lost)
        )
        return PathCounts.of_matrix(rows, sent, lost, self.cells)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A cell, or an element of several, that is held to drop packets.

    links: its cells; element: its number among the elements asked for (of methods that know only cells: the
    cell); score: how strong the case is, in the method's own unit; rate: share of crossing packets that it
    drops.
    """

    links: tuple[int, ...]
    element: int
    score: float
    rate: float


def summed(at: NDArray[np.integer], weight: NDArray[np.generic], size: int) -> F8:
    """Sum of weights by place: i[n], [n] -> f8[size]."""
    total: F8 = np.bincount(at, weight, size).astype(np.float64, copy=False)
    return total


def _i8(column: NDArray[np.integer]) -> I8:
    return np.asarray(column, np.int64)
