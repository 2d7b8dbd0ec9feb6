"""Rows that wait for their probe to close, with the watermark that each row found when it came.

A row is late if its probe was closed at that watermark. That is a property of its place in the log,
so it does not matter how many messages a closing step takes in at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

I8 = NDArray[np.int64]


@dataclass(slots=True)
class OpenRows:
    """Chunks of rows of one layout, in log order."""

    dtype: np.dtype[np.void]
    _rows: list[np.ndarray] = field(default_factory=list)
    _found_us: list[I8] = field(default_factory=list)
    count: int = 0

    def add(self, rows: np.ndarray, watermark_us: int) -> None:
        """Append rows that came when the watermark stood at `watermark_us`."""
        if len(rows):
            self._rows.append(rows)
            self._found_us.append(np.full(len(rows), watermark_us, np.int64))
            self.count += len(rows)

    def take(self) -> tuple[np.ndarray, I8]:
        """All rows, shape (n,), and the watermark each found, i8[n]; leaves nothing behind."""
        if not self._rows:
            return np.empty(0, self.dtype), np.empty(0, np.int64)
        rows = np.concatenate([_opaque(r) for r in self._rows]).view(self.dtype)
        found = np.concatenate(self._found_us)
        self._rows, self._found_us, self.count = [], [], 0
        return rows, found

    def put_back(self, rows: np.ndarray, found_us: I8) -> None:
        """Keep rows that are still waiting; they go before whatever comes next."""
        if len(rows):
            self._rows.insert(0, rows)
            self._found_us.insert(0, found_us)
            self.count += len(rows)


def gather(rows: np.ndarray, which: NDArray[np.intp] | NDArray[np.bool_]) -> np.ndarray:
    """``rows[which]`` for packed rows, nine times as fast."""
    return _opaque(rows)[which].view(rows.dtype)


def _opaque(rows: np.ndarray) -> np.ndarray:
    """Rows as single items: NumPy copies those of a structured dtype field by field."""
    return rows.view(np.dtype((np.void, rows.dtype.itemsize)))
