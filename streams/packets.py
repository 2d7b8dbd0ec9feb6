"""Whole packets of copies that were found wrong, from when they come until their probe has closed."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np

from schemas.batch import Batch
from schemas.rows import gather
from streams.hops import ttl_on_arrival

#: (probe_id, leg, switch, ttl) of a copy.
PacketKey = tuple[int, int, int, int]

#: Packets kept of those that were observed in one slot. What comes after them is still counted and told
#: of, without its bits. Of a slot, not of the moment: so it does not matter how fast messages are read.
SLOT_MAX = 4_096


class Packets:
    """Packets by copy. `slot_us`: length of a slot; `kept_us`: how long after it was observed a packet may
    be asked for."""

    def __init__(self, slot_us: int, kept_us: int) -> None:
        self._slot_us, self._kept_us = slot_us, kept_us
        self._packets: dict[PacketKey, bytes] = {}
        self._ages: deque[tuple[int, PacketKey]] = deque()
        self._counts: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._packets)

    def get(self, key: PacketKey) -> bytes | None:
        """The packet of a copy, normalised."""
        return self._packets.get(key)

    def add(self, batch: Batch) -> None:
        """Keep the packets of a batch of digests."""
        altered = [each for each in batch.altered if 0 <= each.row < len(batch.rows)]
        if not altered:
            return
        rows = gather(batch.rows, np.array([each.row for each in altered]))
        columns = rows["probe_id"], rows["leg"], rows["switch"], ttl_on_arrival(rows)
        keys = zip(*(column.tolist() for column in columns), strict=True)
        times = rows["observed_at_us"].tolist()
        for each, key, observed_at_us in zip(altered, keys, times, strict=True):
            slot = observed_at_us // self._slot_us
            if self._counts[slot] < SLOT_MAX:
                self._counts[slot] += 1
                self._packets[key] = each.packet
                self._ages.append((observed_at_us + self._kept_us, key))

    def forget(self, done_us: int) -> None:
        """Drop what nobody asks for any more: everything sent before a time is done with."""
        while self._ages and self._ages[0][0] < done_us:
            self._packets.pop(self._ages.popleft()[1], None)
        for slot in [s for s in self._counts if (s + 1) * self._slot_us + self._kept_us < done_us]:
            del self._counts[slot]
