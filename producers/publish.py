"""Rows into batches into a topic: partitions, sequences, low watermarks, heartbeats.

`BatchPublisher` decides what each message says and in which order; a `MessageSink` carries the bytes
(`producers.kafka_sink` to a broker, `MemorySink` here for tests). Nothing is lost silently: a sink
either takes a message or raises.

The low watermark of a message is a promise about *later* messages of its partition. So when the rows
of one call need several messages, only the last carries the new watermark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas import topics
from schemas.batch import AlteredPacket, Batch, Envelope, ExporterCount, encode_batch
from schemas.framing import Framing, SingleObject
from schemas.partition import group_of, partition_of
from schemas.rows import DIGEST, END_OF_SOURCE_US, OUTCOME, gather

#: A message may not exceed the topic's `message_bytes_max` (1 MiB); this leaves room for its head.
MESSAGE_BYTES_MAX = 900_000
#: An idle source says so every so often, to every partition: what is open there waits for its promise.
HEARTBEAT_US = 250_000

_ALTERED_OVERHEAD_BYTES = 16
_ROWS = {topics.OUTCOMES: (OUTCOME.dtype, "sent_at_us"), topics.DIGESTS: (DIGEST.dtype, "observed_at_us")}
_SINGLE_OBJECT = SingleObject()


class DeliveryError(RuntimeError):
    """Rows could not be delivered. The process must end: what it holds would otherwise be lost silently."""


class MessageSink(Protocol):
    """Carries encoded messages to the partitions of one topic, in order within each partition."""

    def produce(self, partition: int, message: bytes) -> None:
        """Take one message. May block while the queue is full, up to a deadline of the sink.
        Raises DeliveryError when it cannot take it, or when an earlier message failed for good."""

    def poll(self) -> None:
        """Let the sink work without blocking. Raises DeliveryError as `produce` does."""

    def flush(self) -> None:
        """Block until all messages are stored. Raises DeliveryError if one is not, or at a deadline."""

    @property
    def fill(self) -> float:
        """How full the sink's queue is, 0..1. Senders of probes pause above one half."""


@dataclass
class MemorySink:
    """A sink that keeps its messages: `messages[partition]` is what a consumer would read."""

    partitions: int
    messages: list[list[bytes]] = field(init=False)
    flushed: bool = field(default=False, init=False)
    fill: float = 0.0

    def __post_init__(self) -> None:
        self.messages = [[] for _ in range(self.partitions)]

    def produce(self, partition: int, message: bytes) -> None:
        self.messages[partition].append(message)

    def poll(self) -> None:
        pass

    def flush(self) -> None:
        self.flushed = True


@dataclass(slots=True)
class PublisherCounts:
    """Since the start of the publisher."""

    rows: int = 0
    messages: int = 0  # heartbeats included
    heartbeats: int = 0
    bytes: int = 0
    rows_behind_watermark: int = 0  # older than a promise made; sent all the same, counted late downstream


class BatchPublisher:
    """Writes the rows of one source to one of the two joined topics.

    source: name, unique among live sources, e.g. "prober-1". epoch: start time of this process, us; a
    restart is a new epoch. Not thread-safe. As a context manager it closes on a clean exit only: after
    an error the source has not ended, it has failed, and must fall silent instead.
    """

    def __init__(
        self,
        topic: str,
        source: str,
        epoch: int,
        partitions: int,
        sink: MessageSink,
        *,
        framing: Framing = _SINGLE_OBJECT,
        heartbeat_us: int = HEARTBEAT_US,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        if topic not in _ROWS:
            raise ValueError(f"{topic} carries no batches; known: {', '.join(_ROWS)}")
        self.topic = topic
        self.source = source
        self.epoch = epoch
        self.partitions = partitions
        self.counts = PublisherCounts()
        self._sink = sink
        self._framing = framing
        self._heartbeat_us = heartbeat_us
        self._message_bytes_max = message_bytes_max
        self._dtype, self._time_field = _ROWS[topic]
        self._sequence = [0] * partitions
        self._low_watermark_us = [0] * partitions
        self._written_at_us = [-(2**62)] * partitions
        self._closed = False

    @property
    def fill(self) -> float:
        """How full the sink's queue is, 0..1."""
        return self._sink.fill

    def publish(
        self,
        rows: NDArray[np.void],
        low_watermark_us: int,
        now_us: int,
        *,
        altered: Sequence[AlteredPacket] = (),
        exporters: Sequence[ExporterCount] = (),
    ) -> None:
        """Send rows to their partitions, and a heartbeat to each partition that was idle for a heartbeat.

        rows: structured[n] of the topic's dtype, n may be 0; members of a group stand next to each other
        and end up in one message. low_watermark_us: no later call brings rows older than this; it never
        goes back (a smaller value counts as the greatest so far). now_us: current time, for heartbeats only.
        altered: packets of rows, `row` indexes `rows`. exporters: counts; each goes to one partition,
        that of its switch number. Blocks only while the sink's queue is full; raises DeliveryError.
        """
        if self._closed:
            raise ValueError("the publisher is closed")
        if rows.dtype != self._dtype:
            raise ValueError(f"{self.topic}: rows must be {self._dtype}, not {rows.dtype}")
        counts_of: dict[int, list[ExporterCount]] = {}
        for count in exporters:
            counts_of.setdefault(count.switch % self.partitions, []).append(count)
        packets = {each.row: each.packet for each in altered}
        written = set()
        for partition, indices in _by_partition(rows, self.partitions):
            cells = (
                [(position, packets[row]) for position, row in enumerate(indices.tolist()) if row in packets]
                if packets
                else []
            )
            self._write_rows(
                partition,
                gather(rows, indices),
                low_watermark_us,
                now_us,
                altered=cells,
                exporters=counts_of.pop(partition, []),
            )
            written.add(partition)
        for partition, counts in counts_of.items():
            self._write(partition, rows[:0], low_watermark_us, now_us, exporters=counts)
            written.add(partition)
        for partition in range(self.partitions):
            idle_us = now_us - self._written_at_us[partition]
            if partition not in written and idle_us >= self._heartbeat_us:
                self._write(partition, rows[:0], low_watermark_us, now_us)
                self.counts.heartbeats += 1
        self._sink.poll()

    def close(self) -> None:
        """Tell every partition that this source has ended, and wait until all is stored.

        Raises DeliveryError if anything is not. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        for partition in range(self.partitions):
            self._write(partition, np.empty(0, self._dtype), END_OF_SOURCE_US, 0)
        self._sink.flush()

    def __enter__(self) -> BatchPublisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def _write_rows(
        self,
        partition: int,
        rows: NDArray[np.void],
        low_watermark_us: int,
        now_us: int,
        *,
        altered: Sequence[tuple[int, bytes]],
        exporters: Sequence[ExporterCount],
    ) -> None:
        """All rows of one partition, in as many messages as they need."""
        promised = self._low_watermark_us[partition]
        self.counts.rows_behind_watermark += int(np.count_nonzero(rows[self._time_field] < promised))
        extra = np.zeros(len(rows), np.int64)
        for row, packet in altered:
            extra[row] = len(packet) + _ALTERED_OVERHEAD_BYTES
        for start, stop in _cuts(rows, extra, self._message_bytes_max):
            last = stop == len(rows)
            self._write(
                partition,
                rows[start:stop],
                low_watermark_us if last else promised,
                now_us,
                altered=[
                    AlteredPacket(row - start, packet) for row, packet in altered if start <= row < stop
                ],
                exporters=exporters if last else (),
            )

    def _write(
        self,
        partition: int,
        rows: NDArray[np.void],
        low_watermark_us: int,
        now_us: int,
        *,
        altered: Sequence[AlteredPacket] = (),
        exporters: Sequence[ExporterCount] = (),
    ) -> None:
        watermark = max(low_watermark_us, self._low_watermark_us[partition])
        envelope = Envelope(self.source, self.epoch, partition, self._sequence[partition], watermark)
        message = encode_batch(self.topic, Batch(envelope, rows, altered, exporters), framing=self._framing)
        self._sink.produce(partition, message)
        self._sequence[partition] += 1
        self._low_watermark_us[partition] = watermark
        self._written_at_us[partition] = now_us
        self.counts.rows += len(rows)
        self.counts.messages += 1
        self.counts.bytes += len(message)


def _by_partition(rows: NDArray[np.void], partitions: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each partition that gets rows, with their indices in the order of `rows`."""
    if not len(rows):
        return
    partition = partition_of(group_of(rows["probe_id"].astype(np.int64)), partitions)
    if partitions <= 1 << 16:
        partition = partition.astype(np.uint16)  # 16 bits are sorted nine times faster than 32
    order = np.argsort(partition, kind="stable")
    starts = np.searchsorted(partition[order], np.arange(partitions + 1))
    for number in range(partitions):
        if starts[number] < starts[number + 1]:
            yield number, order[starts[number] : starts[number + 1]]


def _cuts(rows: NDArray[np.void], extra: NDArray[np.int64], bytes_max: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows of at most `bytes_max` bytes each, no run of one group cut. A run is at most 8 rows,
    far below any sensible limit; should one exceed it, it travels alone."""
    if len(rows) * rows.dtype.itemsize + int(extra.sum()) <= bytes_max:
        yield 0, len(rows)
        return
    group = group_of(rows["probe_id"].astype(np.int64))
    ends = np.append(np.flatnonzero(group[1:] != group[:-1]) + 1, len(rows))
    total = np.cumsum(extra + rows.dtype.itemsize)
    start = 0
    while start < len(rows):
        before = int(total[start - 1]) if start else 0
        fit = int(np.searchsorted(total, before + bytes_max, side="right"))
        last = int(np.searchsorted(ends, fit, side="right")) - 1
        stop = int(ends[last]) if last >= 0 and ends[last] > start else int(ends[ends > start][0])
        yield start, stop
        start = stop
