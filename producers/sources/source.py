"""The one interface of all sources of packets, and its in-memory implementation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from producers.packets import PacketBatch

ROWS_MAX = 4_096
"""Packets per batch unless the caller says otherwise: a few megabytes, some milliseconds of full load."""


class EndOfPackets(Exception):
    """There are no more packets and there never will be."""


class PacketSource(Protocol):
    """A stream of packets, in the order of arrival."""

    def next_batch(self, rows_max: int = ROWS_MAX, timeout_s: float = 0.0) -> PacketBatch | None:
        """The next 1 to rows_max packets, or None if none came within timeout_s.

        Blocks for at most timeout_s, and not at all while packets are waiting. The batch is the caller's
        own: it stays valid after later calls. Raises EndOfPackets once a finite source is used up, OSError
        if the source fails.
        """

    def lost(self) -> int:
        """Packets that the source knows it has lost since it was opened, e.g. because its buffer was full."""

    def close(self) -> None:
        """Release what the source holds. Closing twice is harmless."""


class MemorySource:
    """The given batches, one after the other; for tests and for replays from memory."""

    def __init__(self, batches: Iterable[PacketBatch]) -> None:
        self._waiting = deque(batch for batch in batches if len(batch))

    def next_batch(self, rows_max: int = ROWS_MAX, timeout_s: float = 0.0) -> PacketBatch | None:
        """See PacketSource; a batch never joins packets of two of the given ones."""
        if not self._waiting:
            raise EndOfPackets
        batch = self._waiting.popleft()
        if len(batch) > rows_max:
            self._waiting.appendleft(batch.rows(slice(rows_max, None)))
            batch = batch.rows(slice(rows_max))
        return batch

    def lost(self) -> int:
        """Always 0: memory loses nothing."""
        return 0

    def close(self) -> None:
        """Forget what is left."""
        self._waiting.clear()
