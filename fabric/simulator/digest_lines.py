"""Digests on their way to the collectors that their exporters send to, and from there to the topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from fabric.simulator.mirrors import order_of
from fabric.simulator.simulator import Slice
from fabric.simulator.sources import Sources
from schemas.batch import AlteredPacket, ExporterCount
from schemas.rows import DIGEST, gather, join

I8 = NDArray[np.int64]
Rows = NDArray[np.intp]

_SESSION_BITS = 10  # of an ERSPAN session number
_COUNT_INTERVAL_US = 1_000_000  # between reports of sequence gaps


class RowPublisher(Protocol):
    """What producers.publish.BatchPublisher offers; see there. Its errors are passed on: they are fatal."""

    def publish(
        self,
        rows: NDArray[np.void],
        low_watermark_us: int,
        now_us: int,
        *,
        altered: Sequence[AlteredPacket] = (),
        exporters: Sequence[ExporterCount] = (),
    ) -> None: ...

    def close(self) -> None: ...


class DigestLines:
    """All collectors. What arrives later than `now` waits; a collector that is out says nothing."""

    def __init__(self, fabric: Fabric, publishers: Mapping[str, RowPublisher], sources: Sources) -> None:
        """publishers: by collector name. Raises ValueError if one is missing."""
        self._index = fabric.index
        owners = [fabric.collector_of(switch) for switch in fabric.switches]
        missing = {owner.name for owner in owners if owner is not None and owner.name not in publishers}
        if missing or None in owners:
            names = ", ".join(sorted(missing)) or "a fabric without collectors"
            raise ValueError(f"no publisher of digests for {names}")
        place = {collector.name: at for at, collector in enumerate(fabric.collectors)}
        self._lines = [
            _Line(at, publishers[name], sources) for name, at in place.items() if name in publishers
        ]
        self._place_of: I8 = np.array([place[o.name] for o in owners if o is not None], dtype=np.int64)
        self._sessions = [switch.number % (1 << _SESSION_BITS) for switch in fabric.switches]
        # Type I has no sequence numbers: what it loses is not noticed.
        self._has_sequence = np.array([switch.dialect != 1 for switch in fabric.switches], dtype=np.bool_)
        self._received = np.zeros(len(owners), dtype=np.int64)
        self._lost = np.zeros(len(owners), dtype=np.int64)
        self._counted_at_us = 0

    def publish(self, now_us: int, happened: Slice | None = None) -> None:
        """Take over the copies of a slice, and publish what has arrived by now.

        Whatever arrives later must belong to probes that are sent later, or have been taken over already.
        """
        if happened is not None:
            self._received += happened.mirrored
            self._lost += np.where(self._has_sequence, happened.mirror_lost, 0)
            self._take_over(happened)
        due = now_us - self._counted_at_us >= _COUNT_INTERVAL_US
        for line in self._lines:
            counts = self._take_counts(line.place) if due and not line.is_out(now_us) else []
            line.publish(now_us, counts)
        if due:
            self._counted_at_us = now_us

    def _take_over(self, happened: Slice) -> None:
        place = self._place_of[self._index.switch_row(happened.digests["switch"].astype(np.int32))]
        altered_at = np.array([each.row for each in happened.altered], dtype=np.intp)
        for line in self._lines:
            rows = np.flatnonzero(place == line.place)
            mine = np.flatnonzero(place[altered_at] == line.place)
            at = np.searchsorted(rows, altered_at[mine])
            packets = [happened.altered[each].packet for each in mine.tolist()]
            line.take_over(
                gather(happened.digests, rows),
                happened.arrived_at_us[rows],
                dict(zip(at.tolist(), packets, strict=True)),
            )

    def close(self, now_us: int) -> None:
        """Publish what is left, and say that the collectors have ended; those that are out do not."""
        for line in self._lines:
            line.close(now_us, self._take_counts(line.place))

    def _take_counts(self, place: int) -> list[ExporterCount]:
        rows = np.flatnonzero((self._place_of == place) & (self._received + self._lost > 0))
        counts = [
            ExporterCount(
                int(self._index.switch_node[row]),
                self._sessions[row],
                int(self._received[row]),
                int(self._lost[row]),
            )
            for row in rows
        ]
        self._received[rows] = self._lost[rows] = 0
        return counts


class _Line:
    """One collector, and the copies on their way to it: few, and not in order."""

    def __init__(self, place: int, publisher: RowPublisher, sources: Sources) -> None:
        self.place = place
        self._publisher, self._sources = publisher, sources
        self._rows: NDArray[np.void] = np.empty(0, DIGEST.dtype)
        self._arrived_at_us: I8 = np.empty(0, np.int64)
        self._packets: dict[int, bytes] = {}  # of altered rows

    def is_out(self, now_us: int) -> bool:
        return self._sources.collector_out_since_us(self.place, now_us) is not None

    def take_over(self, rows: NDArray[np.void], arrived_at_us: I8, packets: Mapping[int, bytes]) -> None:
        """rows: DIGEST.dtype[n]. arrived_at_us: i8[n]. packets: of altered ones, by row."""
        waiting = len(self._rows)
        self._packets |= {waiting + row: packet for row, packet in packets.items()}
        self._rows = join([self._rows, rows]) if waiting else rows
        self._arrived_at_us = np.append(self._arrived_at_us, arrived_at_us)

    def publish(self, now_us: int, counts: Sequence[ExporterCount]) -> None:
        """What has arrived by now; of a collector that is out, what had arrived before it went."""
        out_since_us = self._sources.collector_out_since_us(self.place, now_us)
        until_us = now_us if out_since_us is None else out_since_us
        due = np.flatnonzero(self._arrived_at_us <= until_us)
        if out_since_us is not None and not len(due):
            return
        due = due[order_of(self._arrived_at_us[due])]
        rows, altered = self._take(due)
        promise_us = self._sources.collector_clock_us(self.place, until_us)
        self._publisher.publish(rows, promise_us, now_us, altered=altered, exporters=counts)

    def close(self, now_us: int, counts: Sequence[ExporterCount]) -> None:
        if self.is_out(now_us):
            return
        self.publish(max([now_us, *self._arrived_at_us.tolist()]), counts)
        self._publisher.close()

    def _take(self, due: Rows) -> tuple[NDArray[np.void], list[AlteredPacket]]:
        """Rows, in that order, with the packets of those that are altered; they wait no longer."""
        left = np.ones(len(self._rows), dtype=np.bool_)
        left[due] = False
        altered: list[AlteredPacket] = []
        if self._packets:
            place = np.cumsum(left) - 1
            place[due] = np.arange(len(due))
            known = [(row, int(place[row]), packet) for row, packet in self._packets.items()]
            altered = [AlteredPacket(at, packet) for row, at, packet in known if not left[row]]
            self._packets = {at: packet for row, at, packet in known if left[row]}
        rows = gather(self._rows, due)
        self._rows, self._arrived_at_us = gather(self._rows, left), self._arrived_at_us[left]
        return rows, altered
