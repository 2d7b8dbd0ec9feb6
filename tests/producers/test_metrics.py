"""Counts that the loops keep come out as metrics, as they are at the moment that they are asked for."""

from collections import Counter

from prometheus_client import CollectorRegistry

from producers.collector import CollectorCounts
from producers.kafka_sink import KafkaSink, KafkaSinkSettings
from producers.metrics import COLLECTOR, PROBER, PUBLISHER, count_collector, count_prober, count_publisher
from producers.probe_loop import ProberReport
from producers.publish import BatchPublisher
from schemas import topics


def test_counts_are_read_when_asked_for() -> None:
    registry, report = CollectorRegistry(), ProberReport("prober-1")
    count_prober(report, registry)
    assert registry.get_sample_value("bytetracker_prober_probes_sent_total") == 0
    report.sent, report.skipped_queue, report.outstanding = 7, 3, 2
    report.send_errors = {"ENETDOWN": 5}
    assert registry.get_sample_value("bytetracker_prober_probes_sent_total") == 7
    assert registry.get_sample_value("bytetracker_prober_probes_outstanding") == 2
    assert registry.get_sample_value("bytetracker_prober_probes_skipped_total", {"reason": "queue"}) == 3
    assert registry.get_sample_value("bytetracker_prober_send_errors_total", {"error": "ENETDOWN"}) == 5


def test_every_frame_is_in_the_metrics_of_a_collector() -> None:
    registry = CollectorRegistry()
    counts = CollectorCounts(frames=10, digests=6, rejected=Counter(not_a_probe=3, unknown_exporter=1))
    count_collector(counts, registry)
    value = registry.get_sample_value
    rejected = [
        value("bytetracker_collector_rejected_frames_total", {"reason": reason}) or 0
        for reason in counts.rejected
    ]
    digests = value("bytetracker_collector_digests_total") or 0
    assert value("bytetracker_collector_frames_total") == digests + sum(rejected)


def test_every_count_of_a_loop_is_a_metric() -> None:
    """A count that somebody adds must not be forgotten here."""
    report = ProberReport("prober-1")
    numbers = [name for name, value in report.as_dict().items() if isinstance(value, int)]
    for name in numbers:
        before = _values(PROBER, report)
        setattr(report, name, 12_345)
        assert _values(PROBER, report) != before, name


def _values(reads: tuple, counts: object) -> list:  # type: ignore[type-arg]
    return [read.read(counts) for read in reads]


def test_a_publisher_and_its_queue() -> None:
    registry = CollectorRegistry()
    sink = KafkaSink(topics.OUTCOMES, KafkaSinkSettings("127.0.0.1:1"))
    publisher = BatchPublisher(topics.OUTCOMES, "prober-1", 1, 4, sink)
    count_publisher(publisher, sink, registry)
    publisher.counts.heartbeats = 4
    sink.counts.queue_full_waits = 2
    assert registry.get_sample_value("bytetracker_publisher_heartbeats_total") == 4
    assert registry.get_sample_value("bytetracker_publisher_queue_full_waits_total") == 2
    # The client also counts its own news, such as a broker that does not answer.
    assert 0 <= (registry.get_sample_value("bytetracker_publisher_queue_fill_ratio") or 0) < 0.01


def test_names_follow_the_conventions() -> None:
    """Prometheus: a unit at the end, a counter without `_total` here (the client adds it), a prefix."""
    for part, reads in (("prober", PROBER), ("collector", COLLECTOR), ("publisher", PUBLISHER)):
        for read in reads:  # type: ignore[attr-defined]
            assert read.name.startswith(f"bytetracker_{part}_")
            assert not read.name.endswith("_total")
            assert read.meaning
