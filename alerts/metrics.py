"""Every metric of the alerts process, in one place."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

# Up to the default deadline of a request.
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 5.0, 10.0, 15.0, 30.0)


class AlertsMetrics:
    """Counters, gauges and histograms of one alerts process; a registry takes them once."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.messages = Counter(
            "bytetracker_alerts_messages", "Messages read from the topic `faults`", registry=registry
        )
        self.bad_messages = Counter(
            "bytetracker_alerts_bad_messages",
            "Messages of the topic `faults` that could not be used",
            ["reason"],
            registry=registry,
        )
        # 0 on those that stand by.
        self.active = Gauge(
            "bytetracker_alerts_active",
            "1 on the process of its group that tells the receivers",
            registry=registry,
        )
        self.delivered = Counter(
            "bytetracker_alerts_delivered",
            "Messages that a receiver has taken",
            ["receiver", "status"],
            registry=registry,
        )
        # Failures count too: what took too long is the interesting part.
        self.request_seconds = Histogram(
            "bytetracker_alerts_request_seconds",
            "Time of a request to a receiver",
            ["receiver", "outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.failures = Counter(
            "bytetracker_alerts_failures",
            "Requests that failed or were refused, by status or kind of error",
            ["receiver", "reason"],
            registry=registry,
        )
        self.waiting = Gauge(
            "bytetracker_alerts_waiting_faults",
            "Faults about which a receiver has something to hear",
            ["receiver"],
            registry=registry,
        )
        self.oldest = Gauge(
            "bytetracker_alerts_oldest_waiting_seconds",
            "How long the oldest of them has been waiting",
            ["receiver"],
            registry=registry,
        )
        self.open = Gauge(
            "bytetracker_alerts_open_alerts",
            "Alerts that are open at a receiver",
            ["receiver"],
            registry=registry,
        )
        self.given_up = Counter(
            "bytetracker_alerts_given_up",
            "Faults that were over and that a receiver could not be told of",
            ["receiver"],
            registry=registry,
        )
        self.kafka_errors = Counter(
            "bytetracker_alerts_kafka_errors", "Errors of the Kafka client", ["code"], registry=registry
        )
