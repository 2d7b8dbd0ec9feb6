"""The collector: what it publishes and when, and that nothing it took is ever missing."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from mirror_frames import EXPORTER, PROBE_PORT, PROBER, PROBER_NUMBER, Wrap, rst, syn
from numpy.typing import NDArray

from producers.addresses import AddressTable
from producers.collector import Collector, CollectorOptions
from producers.mirror.inventory import Exporter, ExporterMap, ProbeMap
from producers.packets import PacketBatch
from producers.publish import BatchPublisher, MemorySink
from producers.sources.source import EndOfPackets, MemorySource, PacketSource
from schemas import topics
from schemas.batch import AlteredPacket, ExporterCount, decode_batch

EXPORTERS = ExporterMap([Exporter(EXPORTER[4], 11, "index")])
PROBES = ProbeMap(AddressTable({PROBER[4]: PROBER_NUMBER}), PROBE_PORT)
SECOND = 1_000_000


@dataclass
class Published:
    """A publisher that remembers."""

    calls: list[tuple[NDArray[np.void], int, int, list[AlteredPacket], list[ExporterCount]]] = field(
        default_factory=list
    )
    is_closed: bool = False

    def publish(
        self,
        rows: NDArray[np.void],
        low_watermark_us: int,
        now_us: int,
        *,
        altered: object = (),
        exporters: object = (),
    ) -> None:
        self.calls.append((rows, low_watermark_us, now_us, list(altered), list(exporters)))  # type: ignore[call-overload]

    def close(self) -> None:
        self.is_closed = True

    @property
    def rows(self) -> NDArray[np.void]:
        return np.concatenate([call[0] for call in self.calls])


class QuietSource:
    """A live source: None when it has nothing."""

    def __init__(self, *batches: PacketBatch | None) -> None:
        self.batches = list(batches)
        self.is_closed = False

    def next_batch(self, rows_max: int = 1, timeout_s: float = 0.0) -> PacketBatch | None:
        return self.batches.pop(0) if self.batches else None

    def lost(self) -> int:
        return 17

    def close(self) -> None:
        self.is_closed = True


def frames(count: int, first: int = 0) -> list[bytes]:
    return [Wrap(sequence=first + n).frame((syn, rst)[n % 2](4, first + n)) for n in range(count)]


def collector(source: PacketSource, published: object, **options: object) -> Collector:
    clock = options.pop("clock_us", None)
    return Collector(
        source,
        published,  # type: ignore[arg-type]
        EXPORTERS,
        PROBES,
        options=CollectorOptions(**options),  # type: ignore[arg-type]
        clock_us=clock,  # type: ignore[arg-type]
    )


def test_a_recording_is_published_whole_and_closed() -> None:
    batches = [
        PacketBatch.of(frames(10, n), received_us=range(n * SECOND, n * SECOND + 10)) for n in (100, 110, 120)
    ]
    published = Published()
    runner = collector(MemorySource(batches), published)
    runner.run(threading.Event())
    assert published.is_closed
    assert published.rows["probe_id"].tolist() == [PROBER_NUMBER << 32 | n for n in range(100, 130)]
    assert (runner.counts.frames, runner.counts.digests, runner.counts.rejected) == (30, 30, Counter())
    counts = [count for call in published.calls for count in call[4]]
    assert sum(count.received for count in counts) == 30
    assert sum(count.lost for count in counts) == 0


def test_no_row_is_older_than_an_earlier_watermark() -> None:
    times = [SECOND * n + jitter for n, jitter in enumerate([0, 9_000, -9_000, 0, 19_000, -5_000])]
    source = MemorySource(PacketBatch.of(frames(1, n), received_us=[when]) for n, when in enumerate(times))
    published = Published()
    collector(source, published, linger_us=1).run(threading.Event())
    promised = 0
    for rows, low_watermark_us, *_ in published.calls:
        assert not len(rows) or rows["observed_at_us"].min() >= promised
        assert low_watermark_us >= promised
        promised = low_watermark_us


def test_an_idle_live_source_still_moves_the_watermark() -> None:
    now = iter(range(5 * SECOND, 50 * SECOND, SECOND))
    published = Published()
    runner = collector(QuietSource(), published, clock_us=lambda: next(now), watermark_margin_us=7)
    for _ in range(3):
        assert runner.step()
    watermarks = [call[1] for call in published.calls]
    assert watermarks == [5 * SECOND - 7, 7 * SECOND - 7, 9 * SECOND - 7]


def test_a_watermark_never_passes_packets_that_may_still_wait_in_the_source() -> None:
    late = PacketBatch.of(frames(2), received_us=[2 * SECOND, 3 * SECOND])
    published = Published()
    runner = collector(QuietSource(late), published, clock_us=lambda: 60 * SECOND, watermark_margin_us=0)
    runner.step()
    assert published.calls[-1][1] == 3 * SECOND


def test_digests_linger_until_there_are_enough_or_time_is_up() -> None:
    now_us = 100 * SECOND
    batches = [PacketBatch.of(frames(4, 4 * n), received_us=[now_us] * 4) for n in range(5)]
    published = Published()
    runner = collector(
        QuietSource(*batches), published, clock_us=lambda: now_us, rows_max=8, linger_us=SECOND
    )
    for _ in range(3):
        runner.step()
    assert [len(call[0]) for call in published.calls] == [4, 8]  # the first: nothing was ever published
    now_us += SECOND
    runner.step()
    assert [len(call[0]) for call in published.calls] == [4, 8, 4]


def test_altered_packets_point_at_their_rows_across_batches() -> None:
    good = frames(3)
    bad = good[1][:-1] + bytes([good[1][-1] ^ 1])
    bad_probe = good[0][:-1] + bytes([good[0][-1] ^ 1])
    batches = [PacketBatch.of([good[0], bad_probe]), PacketBatch.of([bad, good[2], bad_probe])]
    published = Published()
    runner = collector(QuietSource(*batches), published, clock_us=lambda: 0, linger_us=SECOND)
    runner.step()
    runner.step()
    runner._publish(0)
    ((rows, _, _, altered, _),) = published.calls
    assert [each.row for each in altered] == np.flatnonzero(rows["flags"]).tolist() == [1, 2, 4]


def test_stop_ends_it_cleanly_and_a_failing_source_does_not_end_its_stream() -> None:
    source, published, stop = QuietSource(), Published(), threading.Event()
    stop.set()
    runner = collector(source, published, clock_us=lambda: 0)
    runner.run(stop)
    assert source.is_closed
    assert published.is_closed
    assert runner.counts.lost == 17

    class Broken(QuietSource):
        def next_batch(self, rows_max: int = 1, timeout_s: float = 0.0) -> PacketBatch | None:
            raise OSError("the interface is gone")

    source, published = Broken(), Published()
    with pytest.raises(OSError, match="gone"):
        collector(source, published, clock_us=lambda: 0).run(threading.Event())
    assert source.is_closed
    assert not published.is_closed


def test_what_a_consumer_reads_is_what_was_mirrored() -> None:
    sink = MemorySink(4)
    publisher = BatchPublisher(topics.DIGESTS, "collector-1", 1, 4, sink)
    source = MemorySource([PacketBatch.of(frames(100), received_us=range(SECOND, SECOND + 100))])
    collector(source, publisher).run(threading.Event())
    batches = [decode_batch(topics.DIGESTS, message) for messages in sink.messages for message in messages]
    ids = sorted(probe_id for batch in batches for probe_id in batch.rows["probe_id"].tolist())
    assert ids == [PROBER_NUMBER << 32 | n for n in range(100)]
    assert sum(batch.envelope.ends for batch in batches) == 4
    assert sum(count.received for batch in batches for count in batch.exporters) == 100


def test_memory_source_ends() -> None:
    with pytest.raises(EndOfPackets):
        MemorySource([]).next_batch()


@pytest.mark.parametrize("name", ["rows_max", "linger_us", "counts_interval_us"])
def test_limits_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        CollectorOptions(**{name: 0})
