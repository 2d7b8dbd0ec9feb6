"""Every metric of the sink, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

# Up to the deadline of an insert and beyond: what took too long is the interesting part.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class SinkMetrics:
    """Counters, gauges and histograms of one sink process; a registry takes them once."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        # Messages read, by topic.
        self.messages = Counter("bytetracker_sink_messages", "Messages read", ["topic"], registry=registry)
        # Rows stored, by table. A row that was sent twice counts twice; the table holds it once.
        self.rows = Counter("bytetracker_sink_rows", "Rows inserted", ["table"], registry=registry)
        # Messages that went to the dead letters.
        self.bad_messages = Counter(
            "bytetracker_sink_bad_messages",
            "Messages that could not be used",
            ["topic", "reason"],
            registry=registry,
        )
        # Calls of the store, successful or not: a store that hangs shows here and nowhere else.
        self.store_seconds = Histogram(
            "bytetracker_sink_store_seconds",
            "Time of a call of the store",
            ["call", "outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        # Commits of offsets, successful or not.
        self.commit_seconds = Histogram(
            "bytetracker_sink_commit_seconds",
            "Time of a commit of offsets",
            ["outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        # Inserts tried again.
        self.retries = Counter(
            "bytetracker_sink_retries", "Calls of the store that were repeated", registry=registry
        )
        # 1 while the store cannot be reached and consumption is paused.
        self.paused = Gauge("bytetracker_sink_paused", "1 while consumption is paused", registry=registry)
        # Rows read and not yet stored; at most rows_max and one message more.
        self.gathered = Gauge("bytetracker_sink_gathered_rows", "Rows not yet stored", registry=registry)
        # Messages of a partition that are not yet stored, as of the last fetch.
        self.lag = Gauge(
            "bytetracker_sink_lag_messages",
            "Messages not yet stored",
            ["topic", "partition"],
            registry=registry,
        )
        # Minutes of evidence recomputed.
        self.minutes = Counter(
            "bytetracker_sink_rolled_minutes", "Minutes of evidence recomputed", registry=registry
        )
        # Errors that Kafka's client reported and goes on after.
        self.kafka_errors = Counter(
            "bytetracker_sink_kafka_errors", "Errors of the Kafka client", ["code"], registry=registry
        )

    @contextmanager
    def timed(self, histogram: Histogram, *labels: str) -> Iterator[None]:
        """Observe how long the body takes under outcome `ok`, or the class of what it raises."""
        started = monotonic()
        outcome = "ok"
        try:
            yield
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            histogram.labels(*labels, outcome).observe(monotonic() - started)
