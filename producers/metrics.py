"""Every metric of Prober, collector and publisher, in one place.

Their loops keep counts anyway (`ProberReport`, `CollectorCounts`, `PublisherCounts`). So nothing is counted
twice and nothing is added to a loop: the counts are read at the moment that somebody asks for metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from producers.collector import CollectorCounts
from producers.kafka_sink import KafkaSink
from producers.probe_loop import ProberReport
from producers.publish import BatchPublisher

T = TypeVar("T")
Value = float | Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """One metric. `read` gives its value, or its value for each value of `label`."""

    name: str  # a counter's without `_total`
    meaning: str
    read: Callable[[T], Value]
    label: str = ""
    is_gauge: bool = False

    def family(self) -> Metric:
        """The metric without samples."""
        kind = GaugeMetricFamily if self.is_gauge else CounterMetricFamily
        return kind(self.name, self.meaning, labels=[self.label] if self.label else None)

    def sample(self, counts: T) -> Metric:
        """The metric with its value now."""
        family, value = self.family(), self.read(counts)
        assert isinstance(family, GaugeMetricFamily | CounterMetricFamily)
        if isinstance(value, Mapping):
            for label, each in value.items():
                family.add_metric([label], each)
        else:
            family.add_metric([], value)
        return family


class CountsRead(Generic[T]):
    """Counts as a collector of prometheus_client."""

    def __init__(self, reads: Iterable[Read[T]], counts: T) -> None:
        self._reads, self._counts = tuple(reads), counts

    def describe(self) -> list[Metric]:
        """Called once, when a registry takes it."""
        return [read.family() for read in self._reads]

    def collect(self) -> list[Metric]:
        """Called by the thread of the HTTP server: reads numbers only, changes nothing."""
        return [read.sample(self._counts) for read in self._reads]


@dataclass(frozen=True, slots=True)
class Publishing:
    """A publisher and the producer beneath it."""

    publisher: BatchPublisher
    sink: KafkaSink


# Every probe that was due is in sent, skipped or send_errors.
PROBER: tuple[Read[ProberReport], ...] = (
    Read("bytetracker_prober_probes_due", "Probes that the plan asked for", lambda r: r.due),
    Read("bytetracker_prober_probes_sent", "Probes handed to the network", lambda r: r.sent),
    Read(
        "bytetracker_prober_probes_skipped",
        "Probes not sent: late (came too late), queue (outcomes are stuck), full (too many outstanding)",
        lambda r: {"late": r.skipped_late, "queue": r.skipped_queue, "full": r.skipped_full},
        "reason",
    ),
    Read(
        "bytetracker_prober_send_errors",
        "Probes that the kernel refused to send",
        lambda r: dict(r.send_errors),
        "error",
    ),
    Read("bytetracker_prober_probes_answered", "Probes whose reply came in time", lambda r: r.answered),
    Read("bytetracker_prober_probes_timed_out", "Probes without a reply in time", lambda r: r.timeouts),
    Read(
        "bytetracker_prober_probes_outstanding",
        "Probes that wait for a reply",
        lambda r: r.outstanding,
        is_gauge=True,
    ),
    Read("bytetracker_prober_outcomes_published", "Outcomes handed to the publisher", lambda r: r.published),
    Read(
        "bytetracker_prober_replies_dropped",
        "Replies that the full receive ring had no room for: each may be a false timeout",
        lambda r: r.replies_lost,
    ),
    Read(
        "bytetracker_prober_replies_unused",
        "Replies that answer no waiting probe: duplicate, late, stray (unknown), mismatched (wrong flow)",
        lambda r: {
            "duplicate": r.duplicate_replies,
            "late": r.late_replies,
            "stray": r.stray_replies,
            "mismatched": r.mismatched_replies,
        },
        "reason",
    ),
    Read(
        "bytetracker_prober_renewals_failed",
        "Times that the inventory could not be read again",
        lambda r: r.renewals_failed,
    ),
    Read(
        "bytetracker_prober_flow_files",
        "Changed flow files, read or refused",
        lambda r: {"read": r.flow_files_read, "refused": r.flow_files_refused},
        "outcome",
    ),
)

# frames = digests + the sum of rejected.
COLLECTOR: tuple[Read[CollectorCounts], ...] = (
    Read("bytetracker_collector_frames", "Mirrored packets received", lambda c: c.frames),
    Read("bytetracker_collector_digests", "Digests made of them", lambda c: c.digests),
    Read(
        "bytetracker_collector_altered_packets",
        "Digests of packets with altered content",
        lambda c: c.altered,
    ),
    Read(
        "bytetracker_collector_rejected_frames",
        "Packets that are no copy of a probe from a known exporter, by reason",
        lambda c: dict(c.rejected),
        "reason",
    ),
    Read(
        "bytetracker_collector_dropped_frames",
        "Packets that the full receive ring had no room for",
        lambda c: c.lost,
    ),
)

PUBLISHER: tuple[Read[Publishing], ...] = (
    Read("bytetracker_publisher_rows", "Rows published", lambda p: p.publisher.counts.rows),
    Read(
        "bytetracker_publisher_messages",
        "Messages published, heartbeats included",
        lambda p: p.publisher.counts.messages,
    ),
    Read("bytetracker_publisher_bytes", "Bytes of these messages", lambda p: p.publisher.counts.bytes),
    Read(
        "bytetracker_publisher_heartbeats",
        "Messages that only say that the source is alive",
        lambda p: p.publisher.counts.heartbeats,
    ),
    Read(
        "bytetracker_publisher_late_rows",
        "Rows older than what had been promised: late for the worker",
        lambda p: p.publisher.counts.rows_behind_watermark,
    ),
    Read(
        "bytetracker_publisher_queue_fill_ratio",
        "How full the queue to the broker is, 0 to 1",
        lambda p: p.sink.fill,
        is_gauge=True,
    ),
    Read(
        "bytetracker_publisher_queue_full_waits",
        "Times that the queue to the broker had no room",
        lambda p: p.sink.counts.queue_full_waits,
    ),
    Read(
        "bytetracker_publisher_delivered_messages",
        "Messages that the broker has acknowledged",
        lambda p: p.sink.counts.delivered,
    ),
)


def count_prober(report: ProberReport, registry: CollectorRegistry) -> None:
    """Let `registry` read a Prober's report."""
    registry.register(CountsRead(PROBER, report))


def count_collector(counts: CollectorCounts, registry: CollectorRegistry) -> None:
    """Let `registry` read a collector's counts."""
    registry.register(CountsRead(COLLECTOR, counts))


def count_publisher(publisher: BatchPublisher, sink: KafkaSink, registry: CollectorRegistry) -> None:
    """Let `registry` read the counts of a publisher and its producer."""
    registry.register(CountsRead(PUBLISHER, Publishing(publisher, sink)))
