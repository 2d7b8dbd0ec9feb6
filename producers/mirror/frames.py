"""Reading headers that lie at a different offset in each row, without a loop over rows.

A header is read through a *window*: the `width` bytes from `at` of each row, as a table of its own, so that
the code that knows a header's fields sees them at fixed columns. In most batches all rows agree on `at`;
then it is one number and the window a view that costs nothing. Otherwise it is a column and the windows are
gathered.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from producers.packets import I32, I64, U8

Offsets = int | I32
"""Where a header starts in its row: one number for all rows, or i4[n]."""

Bools = NDArray[np.bool_]


class Frames:
    """A byte table with windows. Reads past the end of a row give unspecified bytes, never an error."""

    def __init__(self, data: U8) -> None:
        """data: u8[n, w], C-contiguous."""
        self._data = data

    def window(self, at: Offsets, width: int) -> U8:
        """The `width` bytes of each row from `at` (0 or more) on. Returns u8[n, width], read only."""
        rows, columns = self._data.shape
        if not isinstance(at, int):
            return self._gather(at, width)
        if at + width <= columns:
            return self._data[:, at : at + width]
        padded = np.zeros((rows, width), dtype=np.uint8)
        if at < columns:
            padded[:, : columns - at] = self._data[:, at:]
        return padded

    def rows(self, selection: slice | NDArray[np.intp]) -> Frames:
        """Some of the frames: a view for consecutive rows, a copy otherwise."""
        return Frames(self._data[selection])

    def _gather(self, at: I32, width: int) -> U8:
        rows, columns = self._data.shape
        flat = self._data.reshape(-1)
        if flat.size < width:
            flat = np.pad(flat, (0, width - flat.size))
        # One element per possible start; elements overlap, so that a gather copies `width` bytes at once.
        last = flat.size - width
        starts: NDArray[np.void] = np.ndarray((last + 1,), f"V{width}", flat, strides=(1,))
        # A row's offset may lie past its end when the row is already known to be unreadable.
        index = np.minimum(at, columns) + self._row_starts
        gathered: U8 = starts[np.minimum(index, last)].view(np.uint8).reshape(rows, width)
        for row in np.flatnonzero(index > last):  # only in the last rows of the table
            tail = flat[index[row] :]
            gathered[row, : len(tail)] = tail
        return gathered

    @cached_property
    def _row_starts(self) -> I64:
        rows, columns = self._data.shape
        starts: I64 = np.arange(rows, dtype=np.int64) * columns
        return starts


def some(rows: Bools) -> bool:
    """Whether any row is marked. Several times faster than `rows.any()` on short columns."""
    return bool(np.count_nonzero(rows))


def settle(at: Offsets, rows: Bools) -> Offsets:
    """Collapse a column of offsets to one number if all the rows that matter agree. rows: bool[n]."""
    if isinstance(at, int):
        return at
    first = int(at[int(rows.argmax())]) if len(at) else 0
    return at if some((at != first) & rows) else first


def u16(window: U8, at: int) -> I32:
    """The big-endian 16 bits at a column of a window. Returns i4[n]."""
    return window[:, at : at + 2].view(">u2")[:, 0].astype(np.int32)


def u32(window: U8, at: int) -> I64:
    """The big-endian 32 bits at a column of a window. Returns i8[n]."""
    return window[:, at : at + 4].view(">u4")[:, 0].astype(np.int64)
