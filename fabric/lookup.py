"""From keys to small integers, for whole columns at once: an immutable open-addressing hash table.

A sorted array with `searchsorted` walks about 17 cache-missing steps per key at 100,000 keys; this table
needs one or two. A million look-ups must cost a small part of the second they are budgeted for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.partition import mix64

_SLOTS_PER_KEY = 4


class ColumnLookup:
    """Maps u8 keys to i4 values; unknown keys give -1."""

    __slots__ = ("_keys", "_longest_run", "_mask", "_values")

    def __init__(self, keys: NDArray[np.uint64], values: NDArray[np.int32]) -> None:
        """keys: u8[n], distinct (ValueError otherwise); values: i4[n], not negative."""
        keys = np.ascontiguousarray(keys, dtype=np.uint64)
        if len(np.unique(keys)) != len(keys):
            raise ValueError("keys of a lookup must be distinct")
        slots = 1 << max(4, int(len(keys) * _SLOTS_PER_KEY - 1).bit_length())
        self._mask = np.uint64(slots - 1)
        self._keys = np.zeros(slots, dtype=np.uint64)
        self._values = np.full(slots, -1, dtype=np.int32)
        self._longest_run = 0
        self._fill(keys, np.asarray(values, dtype=np.int32))

    def _fill(self, keys: NDArray[np.uint64], values: NDArray[np.int32]) -> None:
        slot = mix64(keys) & self._mask
        pending = np.arange(len(keys))
        while len(pending):
            self._longest_run += 1
            # Of the keys that want the same free slot the first takes it; the others move on by one.
            wanted, first = np.unique(slot[pending], return_index=True)
            free = self._values[wanted] < 0
            taken, winners = wanted[free], pending[first[free]]
            self._keys[taken] = keys[winners]
            self._values[taken] = values[winners]
            pending = np.setdiff1d(pending, winners, assume_unique=True)
            slot[pending] = (slot[pending] + np.uint64(1)) & self._mask

    def __call__(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """u8[n] -> i4[n], -1 where the key is unknown."""
        slot = mix64(np.asarray(keys, dtype=np.uint64)) & self._mask
        result: NDArray[np.int32] = self._values[slot]
        # An occupied slot with another key: look at the next one, as `_fill` did.
        pending = np.flatnonzero((self._keys[slot] != keys) & (result >= 0))
        slot = slot[pending]
        for _ in range(self._longest_run - 1):
            if not len(pending):
                return result
            slot = (slot + np.uint64(1)) & self._mask
            found = self._values[slot]
            result[pending] = found
            again = (self._keys[slot] != keys[pending]) & (found >= 0)
            pending, slot = pending[again], slot[again]
        result[pending] = -1
        return result


class AddressLookup:
    """Maps packed addresses to i4 values by hash and verification; unknown addresses give -1."""

    __slots__ = ("_high", "_low", "_multiplier", "_rows", "_values")

    def __init__(self, high: NDArray[np.uint64], low: NDArray[np.uint64], values: NDArray[np.int32]) -> None:
        """high, low: u8[n], the two words of distinct addresses; values: i4[n], not negative."""
        self._high, self._low = high, low
        self._values: NDArray[np.int32] = np.asarray(values, dtype=np.int32)
        self._multiplier = np.uint64(0x9E3779B97F4A7C15)
        keys = self._fold(high, low)
        while len(np.unique(keys)) != len(keys):
            # Two addresses fold to one key: try the next odd multiplier.
            if len(np.unique(np.stack([high, low]), axis=1).T) != len(high):
                raise ValueError("addresses of a lookup must be distinct")
            self._multiplier = np.uint64(int(self._multiplier) + 2 & (1 << 64) - 1)
            keys = self._fold(high, low)
        self._rows = ColumnLookup(keys, np.arange(len(keys), dtype=np.int32))

    def _fold(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return high * self._multiplier + low

    def __call__(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int32]:
        """u8[n], u8[n] -> i4[n], -1 where the address is unknown."""
        if not len(self._values):
            return np.full(len(high), -1, dtype=np.int32)
        row = self._rows(self._fold(high, low))
        same = (row >= 0) & (self._high[row] == high) & (self._low[row] == low)
        return np.where(same, self._values[row], np.int32(-1))
