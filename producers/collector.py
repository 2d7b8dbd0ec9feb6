"""The collector: packets from a source, decoded, as digests to a publisher. It owns clock and loop, no logic.

Back-pressure: the publisher blocks while the broker is slow; meanwhile packets wait in the source's bounded
buffer, and what no longer fits there is counted by the source (`lost`) and shows as lost mirror copies.
Nothing else queues.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from producers.mirror.digests import Digests, digest, stacked
from producers.mirror.inventory import ExporterMap, ProbeMap
from producers.mirror.sequences import SequenceState, count, drain, no_copies
from producers.packets import PacketBatch
from producers.sources.source import ROWS_MAX, EndOfPackets, PacketSource
from schemas.batch import AlteredPacket, ExporterCount


class DigestPublisher(Protocol):
    """Where digests go."""

    def publish(
        self,
        rows: NDArray[np.void],
        low_watermark_us: int,
        now_us: int,
        *,
        altered: Sequence[AlteredPacket] = (),
        exporters: Sequence[ExporterCount] = (),
    ) -> None:
        """Send DIGEST.dtype[n] (n may be 0), promising no later row older than low_watermark_us.

        May block while the broker is slow; raises when rows cannot be delivered.
        """

    def close(self) -> None:
        """Say that this source has ended, and wait until everything is delivered."""


@dataclass(frozen=True, slots=True)
class CollectorOptions:
    """Limits of one collector."""

    rows_max: int = 32_768  # digests per publish: shared out over partitions, they should still fill messages
    linger_us: int = 50_000  # longest time that a digest waits for others, us
    watermark_margin_us: int = 20_000  # how far kernel receive times may be out of order between CPUs, us
    counts_interval_us: int = 1_000_000  # between reports of received and lost copies, us

    def __post_init__(self) -> None:
        for name in ("rows_max", "linger_us", "counts_interval_us"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.watermark_margin_us < 0:
            raise ValueError(f"watermark_margin_us must not be negative: {self.watermark_margin_us}")


@dataclass(slots=True)
class CollectorCounts:
    """Since the start of the collector. frames == digests + sum of rejected."""

    frames: int = 0
    digests: int = 0
    altered: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # reason -> frames
    lost: int = 0  # packets that the source had no room for; never part of frames


class Collector:
    """Turns the packets of one source into batches of digests. Not thread-safe."""

    def __init__(
        self,
        source: PacketSource,
        publisher: DigestPublisher,
        exporters: ExporterMap,
        probes: ProbeMap,
        *,
        options: CollectorOptions | None = None,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        """clock_us: the time now, us since 1970, of the clock that stamps packets (the kernel's).

        None: packets come from a recording, and time is what the packets say.
        """
        self.counts = CollectorCounts()
        self._source = source
        self._publisher = publisher
        self._exporters = exporters
        self._probes = probes
        self._options = options or CollectorOptions()
        self._clock_us = clock_us
        self._sequences: SequenceState = no_copies()
        self._frontier_us = 0  # everything received before has been taken from the source
        self._waiting: list[NDArray[np.void]] = []
        self._waiting_altered: list[AlteredPacket] = []
        self._waiting_rows = 0
        self._published_us = 0
        self._counted_us = 0

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop` is set or the source ends; then deliver everything and close both sides.

        Raises what the source or the publisher raises: OSError, DeliveryError.
        """
        try:
            while not stop.is_set() and self.step(timeout_s=self._options.linger_us / 1e6):
                pass
            self._publish(self._frontier_us, final=True)
            self._publisher.close()
        finally:
            self._source.close()

    def step(self, timeout_s: float = 0.0) -> bool:
        """Take at most one batch, publish if it is time to. False once the source has ended."""
        # Read before the source is asked: if it then has nothing, there is nothing older than this.
        asked_us = self._clock_us() if self._clock_us else self._frontier_us
        try:
            batch = self._source.next_batch(min(ROWS_MAX, self._options.rows_max), timeout_s)
        except EndOfPackets:
            return False
        if batch is None:
            self._frontier_us = max(self._frontier_us, asked_us)
        else:
            self._take(batch)
        now_us = self._clock_us() if self._clock_us else self._frontier_us
        is_full = self._waiting_rows >= self._options.rows_max
        if is_full or now_us - self._published_us >= self._options.linger_us:
            self._publish(now_us)
        return True

    def _take(self, batch: PacketBatch) -> None:
        digests: Digests = digest(batch, self._exporters, self._probes)
        self._sequences = count(self._sequences, digests.copies)
        self._frontier_us = max(self._frontier_us, int(batch.received_us.max()))
        self._waiting_altered += [
            AlteredPacket(self._waiting_rows + each.row, each.packet) for each in digests.altered
        ]
        self._waiting.append(digests.rows)
        self._waiting_rows += len(digests.rows)
        self.counts.frames += len(batch)
        self.counts.digests += len(digests.rows)
        self.counts.altered += len(digests.altered)
        self.counts.rejected += digests.rejected

    def _publish(self, now_us: int, *, final: bool = False) -> None:
        exporters: tuple[ExporterCount, ...] = ()
        if final or now_us - self._counted_us >= self._options.counts_interval_us:
            self._sequences, exporters = drain(self._sequences)
            self._counted_us = now_us
            self.counts.lost = self._source.lost()
        self._publisher.publish(
            stacked(self._waiting),
            max(self._frontier_us - self._options.watermark_margin_us, 0),
            now_us,
            altered=self._waiting_altered,
            exporters=exporters,
        )
        self._waiting, self._waiting_altered, self._waiting_rows = [], [], 0
        self._published_us = now_us


def wall_clock_us() -> int:
    """The clock that the kernel stamps packets with, us since 1970."""
    return time.time_ns() // 1_000
